"""Two passes over one input: everything is checked before anything is enqueued, and both must see the same.

Memory holds the ids of the first pass and no prompt.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING

from producer.inputs.class_list import ClassList, who
from producer.inputs.encodings import Encodings
from producer.inputs.identity import WAY_OUT, look_for_names, notes_on_names, searched
from producer.inputs.item import InputLimits, InputOptions
from producer.inputs.reading import describe_input, read_columns, read_items, scan_items
from producer.inputs.specs import JobDefaults, build_spec, for_the_model
from producer.inputs.text import shown
from workers.contract.errors import InvalidInput
from workers.contract.identity import IdentityRule
from workers.contract.job import JobParameters
from workers.contract.twins import TwinRule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from producer.inputs.class_list import Who
    from producer.inputs.item import InputItem
    from producer.inputs.templates import BoundTemplate, Template
    from workers.contract.job import JobSpec
    from workers.contract.model_parameters import ChoiceCheck
    from workers.contract.schemes.fence import Fence

MAX_PROBLEMS = 20
"""Enough to see a pattern, and one screen."""

_values = attrgetter(*(parameter.name for parameter in fields(JobParameters)))  # asdict copies deeply, at 10 us a row


class RejectedInput(InvalidInput):
    """Several things are wrong with the input; nothing was enqueued. `problems` holds one line for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedInput:
    """An input in which every row gives a job and no id appears twice. `specs` reads it again."""

    path: Path
    count: int
    """Items found."""
    sha256: str
    """Over all that the specs say but the fence, in order: equal inputs with equal options give equal digests."""
    notes: tuple[str, ...]
    """What the input was recognised as, and what was assumed about files that are not UTF-8."""
    ids: frozenset[str] = field(repr=False)
    models: tuple[str, ...]
    """That its jobs ask or fall back to, named by options, kit or row."""
    left_out: int
    """Items with nothing to grade: rows of the batch with their reason, which cost nothing."""
    _stamp: tuple[int, ...] = field(repr=False)
    _defaults: JobDefaults = field(repr=False)
    _people: ClassList = field(repr=False)
    _who: tuple[Who, ...] = field(repr=False)
    """The input's own of these people."""
    _identity: IdentityRule = field(repr=False)
    _limits: InputLimits = field(repr=False)
    _encodings: Encodings = field(repr=False)
    _options: InputOptions = field(repr=False)

    @property
    def template(self) -> BoundTemplate | None:
        """The template as it is bound to the input's columns."""
        return self._defaults.template

    @property
    def template_fields(self) -> frozenset[str]:
        """The columns that the template brings in; none without a template."""
        return self._defaults.template.fields if self._defaults.template else frozenset()

    @property
    def is_fenced(self) -> bool:
        """Whether prompts hold a fence, which must be the batch's own."""
        return self._defaults.has_parts

    @property
    def identity(self) -> IdentityRule:
        """What becomes of a prompt that names a student."""
        return self._identity

    def specs(
        self, fence: Fence | None = None, *, key: str | None = None, others: Iterable[Who] = ()
    ) -> Iterator[JobSpec]:
        """Yield the specs in order with the batch's fence, reading the input a second time; without one, to look at.

        `key` makes the pseudonyms [default: the fence's mark]; `others` of the batch are searched for, too.

        Raises `InvalidInput` at once when the file's size or time changed, and behind the last spec when what was
        read differs from what was checked; so open a batch only when the iterator has ended.
        """
        return self.specs_under(self._identity, fence, key=key, others=others)

    def specs_under(
        self,
        identity: IdentityRule,
        fence: Fence | None = None,
        *,
        key: str | None = None,
        others: Iterable[Who] = (),
    ) -> Iterator[JobSpec]:
        """The same, with another word on prompts that name a student."""
        if _stamp(self.path) != self._stamp:
            raise _changed(self.path)
        defaults = replace(self._defaults, fence=fence) if fence is not None else self._defaults
        people, mark = self._with(others), defaults.fence if defaults.has_parts else None
        digest = hashlib.sha256()
        for item in read_items(self.path, limits=self._limits, encodings=self._encodings, options=self._options):
            spec = build_spec(item, defaults)
            _add(digest, spec, defaults)
            yield searched(spec, people, identity, fence=mark, key=key)
        if digest.hexdigest() != self.sha256:
            raise _changed(self.path)

    def _with(self, others: Iterable[Who]) -> ClassList:
        """The class with these; its own students and the roster's keep the names they had."""
        more = [each for each in others if each[0] not in self.ids]
        return ClassList.of([*self._who, *more], self._options.roster) if more else self._people


def check_items(
    path: Path,
    *,
    template: Template | None,
    schema: str | None,
    model: str | None,
    parameters: JobParameters,
    known_schemas: Collection[str] | None = None,
    section: str | None = None,
    given: Mapping[str, str] | None = None,
    twins: TwinRule = TwinRule.EXACT,
    choices: ChoiceCheck | None = None,
    limits: InputLimits | None = None,
    encoding: str | None = None,
    options: InputOptions | None = None,
    identity: IdentityRule = IdentityRule.WARN,
    others: Iterable[Who] = (),
    max_problems: int = MAX_PROBLEMS,
    is_first_alone: bool = False,
) -> CheckedInput:
    """Read the whole input once and check every row; raises `RejectedInput` with up to `max_problems` different ones.

    Rows with the same problem count as one, under the first row's place. `encoding` is of files that are not UTF-8.
    `identity` says what becomes of a prompt that names a student; who that may be is known at the end, so the input is
    read once more. `others` are searched for beside the input's own and the roster's. `section` is a rubric's or
    catalogue's, `given` holds assignment, solution and notes (see `schemes.layout`). With `is_first_alone` only as
    much is read as the first prompt needs, to look at it.
    """
    encodings = Encodings(encoding)
    options = options or InputOptions()
    defaults = JobDefaults(
        template=_bound(template, path, limits, encodings, options, given=given or {})
        if template is not None
        else None,
        schema=schema,
        model=model,
        parameters=parameters,
        known_schemas=known_schemas,
        section=section,
        given=given or {},
        twins=twins,
        choices=choices,
    )
    stamp = _stamp(path)
    first_pass = _FirstPass(defaults, max_problems)
    for found in scan_items(path, limits=limits, encodings=encodings, options=options):
        first_pass.take(found)
        if first_pass.is_over or (is_first_alone and first_pass.has_prompt):
            break
    first_pass.raise_problems()
    people = (*first_pass.who, *others)
    checked = CheckedInput(
        path=path,
        count=len(first_pass.places),
        sha256=first_pass.digest.hexdigest(),
        _stamp=stamp,
        _defaults=defaults,
        notes=(*first_pass.notes(describe_input(path, options)), *encodings.notes),
        ids=frozenset(first_pass.places),
        models=tuple(first_pass.models),
        left_out=len(first_pass.left_out),
        _people=ClassList.of(people, options.roster),
        _who=people,
        _identity=identity,
        _options=options,
        _limits=limits or InputLimits(),
        _encodings=encodings,
    )
    if is_first_alone:
        return checked
    return replace(checked, notes=(*checked.notes, *_notes_on_names(checked, identity, max_problems)))


def _notes_on_names(checked: CheckedInput, rule: IdentityRule, max_problems: int) -> tuple[str, ...]:
    """Whose prompts name a student, and what is done about it; raises `RejectedInput` where none may."""
    found = look_for_names(checked.specs_under(IdentityRule.WARN if rule is IdentityRule.REFUSE else rule))
    if found and rule is IdentityRule.REFUSE:
        more = (f"and {len(found) - max_problems:,} more",) if len(found) > max_problems else ()
        raise RejectedInput((*found[:max_problems], *more, WAY_OUT))
    return notes_on_names(found, rule)


def _bound(
    template: Template,
    path: Path,
    limits: InputLimits | None,
    encodings: Encodings,
    options: InputOptions,
    *,
    given: Mapping[str, str],
) -> BoundTemplate:
    found = read_columns(path, limits=limits, encodings=encodings, options=options)
    if not found.names:
        return template.as_made_for(())  # the first pass says what is wrong with an input without a single row
    try:
        return template.bind(found.names, given=given)
    except InvalidInput as problem:
        raise RejectedInput((f"{found.where}: {problem}",)) from None


class _FirstPass:
    """Ids, problems and digest so far."""

    def __init__(self, defaults: JobDefaults, max_problems: int) -> None:
        self.places: dict[str, str] = {}
        self.digest = hashlib.sha256()
        self.who: list[Who] = []
        self.models: dict[str, None] = {}
        self.left_out: list[InputItem] = []
        self.with_unread: list[InputItem] = []
        self._defaults = defaults
        self._max_problems = max_problems
        self._problems: dict[str, _Repeated] = {}

    @property
    def is_over(self) -> bool:
        return len(self._problems) >= self._max_problems

    @property
    def has_prompt(self) -> bool:
        return len(self.places) > len(self.left_out)

    def take(self, found: InputItem | InvalidInput) -> None:
        try:
            if isinstance(found, InvalidInput):
                raise found
            found = for_the_model(found, self._defaults)
            self._refuse_duplicate(found)
            spec = build_spec(found, self._defaults)
            self.who.append(who(found.id, spec.metadata))
            _add(self.digest, spec, self._defaults)
            if found.left_out:
                self.left_out.append(found)
                return
            self.models.update(dict.fromkeys(filter(None, (spec.model, spec.parameters.fallback_model))))
            if found.not_read:
                self.with_unread.append(found)
        except InvalidInput as problem:
            self._problems.setdefault(problem.message, _Repeated(problem)).count += 1

    def notes(self, description: str | None) -> Iterator[str]:
        """What the input is, who is left out of grading, and whose work is graded in part."""
        if description:
            yield description
        for item in self.left_out[:MAX_PROBLEMS]:
            yield f"{shown(item.id)}: {item.left_out}"
        if len(self.left_out) > MAX_PROBLEMS:
            yield f"and {len(self.left_out) - MAX_PROBLEMS:,} more that are not graded"
        for item in self.with_unread[:MAX_PROBLEMS]:
            yield f"{shown(item.id)}: graded without {'; '.join(item.not_read)}"
        if len(self.with_unread) > MAX_PROBLEMS:
            yield f"and {len(self.with_unread) - MAX_PROBLEMS:,} more that are graded in part"

    def raise_problems(self) -> None:
        if not self._problems:
            return
        lines = [str(problem) for problem in self._problems.values()]
        if self.is_over:
            lines.append(f"stopped after {len(self._problems)} problems; there may be more")
        raise RejectedInput(tuple(lines))

    def _refuse_duplicate(self, item: InputItem) -> None:
        first = self.places.setdefault(item.id, item.where)
        if first != item.where:
            raise InvalidInput(
                f"the id {item.id!r} is already used at {first}; give each an id of its own", where=item.where
            )


@dataclass(slots=True)
class _Repeated:
    problem: InvalidInput
    count: int = 0

    def __str__(self) -> str:
        return f"{self.problem} (and {self.count - 1:,} more like it)" if self.count > 1 else str(self.problem)


def _stamp(path: Path) -> tuple[int, ...]:
    """Size, time and identity of a file; a folder is judged by the digest alone."""
    try:
        found = path.stat()
    except OSError:
        return ()  # reading it will say why
    return () if path.is_dir() else (found.st_size, found.st_mtime_ns, found.st_ino)


def _add(digest: hashlib._Hash, spec: JobSpec, defaults: JobDefaults) -> None:
    texts = [text.replace(defaults.fence.mark, "") if defaults.has_parts else text for text in spec.texts]
    written = json.dumps([spec.id, spec.schema, spec.model, _values(spec.parameters), spec.metadata, *texts])
    digest.update(written.encode())


def _changed(path: Path) -> InvalidInput:
    return InvalidInput(
        "the input changed between checking and reading; nothing was enqueued, run the command again",
        where=shown(path.name),
    )
