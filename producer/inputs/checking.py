"""Two passes over one input: everything is checked before anything is enqueued, and both must see the same.

Memory holds the ids of the first pass and no prompt.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING

from producer.inputs.item import InputLimits
from producer.inputs.reading import read_items, scan_items
from producer.inputs.specs import JobDefaults, build_spec
from producer.inputs.text import shown
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from producer.inputs.item import InputItem
    from producer.templates import Template
    from workers.contract.job import JobSpec

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
    """An input in which every row gives a job and no id stands twice. `specs` reads it again."""

    path: Path
    count: int
    """Items found."""
    sha256: str
    """Over all that the specs say, in order: equal inputs with equal options give equal digests."""
    _stamp: tuple[int, ...] = field(repr=False)
    _defaults: JobDefaults = field(repr=False)
    _limits: InputLimits = field(repr=False)

    def specs(self) -> Iterator[JobSpec]:
        """Yield the specs in order, reading the input a second time.

        Raises `InvalidInput` at once when the file's size or time changed, and behind the last spec when what was
        read differs from what was checked; so open a batch only when the iterator has ended.
        """
        if _stamp(self.path) != self._stamp:
            raise _changed(self.path)
        digest = hashlib.sha256()
        for item in read_items(self.path, limits=self._limits):
            spec = build_spec(item, self._defaults)
            _add(digest, spec)
            yield spec
        if digest.hexdigest() != self.sha256:
            raise _changed(self.path)


def check_items(
    path: Path,
    *,
    template: Template | None,
    schema: str | None,
    model: str | None,
    parameters: JobParameters,
    known_schemas: Collection[str] | None = None,
    wrap_prompt: Callable[[str], str] | None = None,
    limits: InputLimits | None = None,
    max_problems: int = MAX_PROBLEMS,
) -> CheckedInput:
    """Read the whole input once and check every row; raises `RejectedInput` with up to `max_problems` different ones.

    Rows with the same problem count as one, under the first row's place.
    """
    defaults = JobDefaults(
        template=template,
        schema=schema,
        model=model,
        parameters=parameters,
        known_schemas=known_schemas,
        wrap_prompt=wrap_prompt,
    )
    stamp = _stamp(path)
    first_pass = _FirstPass(defaults, max_problems)
    for found in scan_items(path, limits=limits):
        first_pass.take(found)
        if first_pass.is_over:
            break
    first_pass.raise_problems()
    return CheckedInput(
        path=path,
        count=len(first_pass.places),
        sha256=first_pass.digest.hexdigest(),
        _stamp=stamp,
        _defaults=defaults,
        _limits=limits or InputLimits(),
    )


class _FirstPass:
    """Ids, problems and digest so far."""

    def __init__(self, defaults: JobDefaults, max_problems: int) -> None:
        self.places: dict[str, str] = {}
        self.digest = hashlib.sha256()
        self._defaults = defaults
        self._max_problems = max_problems
        self._problems: dict[str, _Repeated] = {}

    @property
    def is_over(self) -> bool:
        return len(self._problems) >= self._max_problems

    def take(self, found: InputItem | InvalidInput) -> None:
        try:
            if isinstance(found, InvalidInput):
                raise found
            self._refuse_duplicate(found)
            _add(self.digest, build_spec(found, self._defaults))
        except InvalidInput as problem:
            self._problems.setdefault(problem.message, _Repeated(problem)).count += 1

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
                f"the id {item.id!r} stands at {first} already; give each an id of its own", where=item.where
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


def _add(digest: hashlib._Hash, spec: JobSpec) -> None:
    written = json.dumps([spec.id, spec.schema, spec.model, _values(spec.parameters), spec.metadata, spec.prompt])
    digest.update(written.encode())


def _changed(path: Path) -> InvalidInput:
    return InvalidInput(
        "the input changed between checking and reading; nothing was enqueued, run the command again",
        where=shown(path.name),
    )
