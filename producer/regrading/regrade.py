"""Regrading: the jobs of a batch graded again, as a new batch; the old one does not change.

With another model the stored prompts are sent again. A new rubric replaces the old one above the same text, in a fence
of the new batch. Another template needs what the student handed in, which
`producer.regrading.submission_of_prompt` reads out of the prompt; where that is not possible, the input has to be given
again. See docs/decisions/.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING

from producer.inputs import InputOptions, check_items
from producer.inputs.specs import NOT_GRADED, SUBMISSION, values_of_row
from producer.inputs.templates import Template, as_text, keep_template, template_of_origin
from producer.regrading.linked_name import linked_name
from producer.regrading.names import NamesOfRegrade
from producer.regrading.submission_of_prompt import SubmissionUnknown, fenced_text, submission_fields
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters, JobSpec, QueueName, prompt_hash
from workers.contract.origin import PARTS, BatchOrigin
from workers.contract.pictures import marked_anew
from workers.contract.registry import is_users_own
from workers.contract.schemes.fence import Fence
from workers.contract.schemes.layout import instructions_text, students_part
from workers.contract.schemes.scheme import scheme_of_context
from workers.contract.twins import TwinRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from producer.batch import BatchOverview, StoredJob
    from producer.client import EnqueueReport, JobClient
    from producer.inputs import CheckedInput
    from producer.inputs.templates import BoundTemplate
    from producer.regrading.change import Change
    from workers.contract.schemes.scheme import GradingScheme


def regrade(
    client: JobClient,
    batch: str,
    change: Change,
    *,
    name: str | None = None,
    queue: QueueName = QueueName.BULK,
    nightly: str | None = None,
    by: datetime | None = None,
    price: str | None = None,
    notify: Iterable[str] = (),
) -> EnqueueReport:
    """Enqueue the batch's jobs with the change as a new batch linked to it; again does nothing.

    A batch is regraded as a whole or not at all; only one of several rubrics is enqueued rubric by rubric, and the same
    call completes it. `by`, `price` and `notify`: see `enqueue`. `SubmissionUnknown` when a prompt cannot be cut apart.
    """
    regrading = _Regrading(client, client.batch(batch).overview(), change, name or regrade_name(batch, change))
    prepared = regrading.searched(list(regrading.prepared()))
    if not prepared:
        raise InvalidInput(f"batch {batch!r} holds no jobs")
    reports = [
        client.enqueue(
            specs,
            name=regrading.name,
            queue=queue,
            context=change.scheme.context if change.scheme else _context(client, context_hash),
            origin=replace(regrading.origin(), nightly=nightly),
            names_are_searched=True,
            by=by,
            price=price,
            notify=notify,
        )
        for context_hash, specs in _by_context(prepared).items()
    ]
    return replace(reports[-1], new=sum(each.new for each in reports), existing=sum(each.existing for each in reports))


def regrade_name(batch: str, change: Change) -> str:
    """`week3-regrade-1f2e3d4c`: the same change finds its own batch again."""
    return linked_name(batch, f"regrade-{change.digest[:8]}")


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A job of the new batch, and under which hash the rubric or catalogue that it keeps is stored."""

    spec: JobSpec
    context_hash: str | None


@dataclass(frozen=True, slots=True)
class _Parts:
    """A job's prompt: the instructor's part, None where there is none, and the rest."""

    instructions: str | None
    prompt: str


def _by_context(prepared: list[_Prepared]) -> dict[str | None, list[JobSpec]]:
    """The jobs of each rubric; those that need none go with the first, so that nearly every batch is one enqueue."""
    first = next((job.context_hash for job in prepared if job.context_hash), None)
    found: dict[str | None, list[JobSpec]] = {}
    for job in prepared:
        found.setdefault(job.context_hash or first, []).append(job.spec)
    return found


def _context(client: JobClient, context_hash: str | None) -> Mapping[str, object] | None:
    return None if context_hash is None else client.context(context_hash)


class _Regrading:
    """One batch, one change, and what follows for each job."""

    def __init__(self, client: JobClient, old: BatchOverview, change: Change, name: str) -> None:
        self.name = name
        self._client = client
        self._old = old
        self._change = change
        self._names = NamesOfRegrade(client, old, change, name)
        self._template_fields: frozenset[str] = frozenset()
        self._bound = cache(self._bind)
        self._kept_scheme = cache(self._read_scheme)

    def prepared(self) -> Iterator[_Prepared]:
        """Every job of the new batch. Raises `InvalidInput` for the first that cannot be made."""
        if self._change.input_path is not None:
            yield from self._prepared_from_input(self._change.input_path)
            return
        for job in self._client.batch(self._old.name).jobs():
            parts = self._parts(job)
            likeness = None if self._change.asks_differently else job.twin_key
            yield self._as_before(job, parts, likeness or self._likeness(parts))

    def searched(self, prepared: list[_Prepared]) -> list[_Prepared]:
        """The same jobs with what their prompts may say of students."""
        specs = self._names.searched(self._client, [each.spec for each in prepared], mark=self._fence_in_use)
        return [replace(each, spec=spec) for each, spec in zip(prepared, specs, strict=True)]

    def _likeness(self, parts: _Parts) -> str:
        """Equal for prompts whose work is the same by the batch's own rule."""
        rule = TwinRule(self._old.origin.twins or TwinRule.EXACT)
        mark = self._fence_in_use
        works = Fence(mark).divided(parts.prompt)[1] if mark is not None and parts.instructions is not None else []
        normal = [[label, rule.normal(work)] for label, work in works] or rule.normal(parts.prompt)
        return prompt_hash(json.dumps(normal))

    def origin(self) -> BatchOrigin:
        """What is kept with the new batch; asked for when every job is prepared."""
        change, old = self._change, self._old.origin
        origin = BatchOrigin(
            input=old.input,
            template_text=old.template_text,
            template_columns=old.template_columns,
            regrade_of=self._old.name,
            model=change.model,
            scheme=change.scheme.digest if change.scheme else None,
            effort=change.effort,
            verbosity=change.verbosity,
            fence=self._fence_in_use,
            prompt_layout=PARTS if self._is_made_anew else old.prompt_layout,
            twins=old.twins,
        )
        origin = self._given_in(self._names.kept_in(origin))
        return keep_template(origin, change.template, self._template_fields) if change.template else origin

    @property
    def _fence_in_use(self) -> str | None:
        """The mark in the new batch's prompts: those that are sent again keep the old one."""
        if self._is_made_anew:
            return self._fence.mark
        return self._old_fence.mark if self._old_fence and not self._reads_submissions else None

    @property
    def _is_made_anew(self) -> bool:
        """Whether the new batch's prompts were laid out here, and not only sent again."""
        return "_fence" in self.__dict__

    @property
    def _reads_submissions(self) -> bool:
        return self._change.asks_differently or self._change.input_path is not None

    @cached_property
    def _fence(self) -> Fence:
        return self._client.fence(self.name)

    @cached_property
    def _old_fence(self) -> Fence | None:
        mark = self._old.origin.fence
        return None if mark is None else Fence(mark)

    @cached_property
    def _old_template(self) -> BoundTemplate | None:
        self._refuse_lost_template()
        return template_of_origin(self._old.origin, name=f"template of {self._old.name}")

    @property
    def _given(self) -> dict[str, str]:
        """Assignment, solution and notes as they are now, by name."""
        return {**self._old.origin.given, **self._change.given}

    def _given_in(self, origin: BatchOrigin) -> BatchOrigin:
        now = self._given
        return replace(origin, assignment=now.get("assignment"), solution=now.get("solution"), notes=now.get("notes"))

    @cached_property
    def _kept_template(self) -> BoundTemplate | None:
        """The old template around what is given now; `_old_template` reads the prompts that were made with it."""
        return template_of_origin(self._given_in(self._old.origin), name=f"template of {self._old.name}")

    def _refuse_lost_template(self) -> None:
        if self._old.origin.template_text is None and self._old.origin.template is not None:
            raise SubmissionUnknown(f"the template of batch {self._old.name!r} was not kept")

    def _parts(self, job: StoredJob) -> _Parts:
        if job.prompt is None:
            raise SubmissionUnknown(f"the prompt of job {job.id!r} was purged")
        if not job.prompt:
            return _Parts(None, "")  # left out of the old batch, and of this one
        if not self._change.asks_differently:
            return _Parts(job.instructions, job.prompt)
        fence = self._fence_around(job)
        if self._change.template is None and job.instructions is None and fence is not None:
            words, values = fence.divided(fenced_text(job, fence))
            alone = words.strip() == "".join(f"[{label}]" for label, _work in values)
            instructions = self._instructions("" if alone else words, self._scheme(job))
            return _Parts(instructions, self._students_part(values))
        fields = submission_fields(job, self._old_template, fence=fence)
        bound = self._bound(frozenset(fields)) if self._change.template is not None else self._kept_template
        values = [(SUBMISSION, as_text(fields[SUBMISSION]))] if bound is None else values_of_row(fields, bound)
        return _Parts(self._instructions(bound or "", self._scheme(job)), self._students_part(values))

    def _students_part(self, values: list[tuple[str, str]]) -> str:
        """In the new fence, pictures too."""
        part = students_part(values, self._fence)
        return marked_anew(part, old=self._old_fence.mark, new=self._fence.mark) if self._old_fence else part

    def _instructions(self, template: BoundTemplate | str, scheme: GradingScheme | None) -> str:
        """`template` is bound, or nothing but its words."""
        if isinstance(template, str):
            words, given = template, self._given
        else:
            words, given = template.words, dict(template.apart)
        section = scheme.section if scheme else ""
        return instructions_text(section=section, words=words, given=given, fence=self._fence)

    def _fence_around(self, job: StoredJob) -> Fence | None:
        """The fence in the job's own prompt; of those in one text, one of a rubric or catalogue has one."""
        if job.instructions is not None:
            return self._old_fence
        if job.context_hash is None or is_users_own(job.schema):
            return None
        if self._old_fence is None:
            raise SubmissionUnknown(f"the prompt of job {job.id!r} is not laid out as a rubric's")
        return self._old_fence

    def _bind(self, columns: frozenset[str]) -> BoundTemplate:
        """The new template for jobs with these fields; metadata may differ from job to job."""
        if self._change.template is None:
            raise InvalidInput("nothing would change; give another --template")
        bound = self._change.template.bind(sorted(columns), given=self._given)
        self._template_fields |= bound.fields
        return bound

    def _scheme(self, job: StoredJob) -> GradingScheme | None:
        """The new scheme, or else the one that the job was enqueued with."""
        return self._change.scheme or self._kept_scheme(job.schema, job.context_hash)

    def _read_scheme(self, schema: str, context_hash: str | None) -> GradingScheme | None:
        context = None if is_users_own(schema) else _context(self._client, context_hash)
        return scheme_of_context(schema, context) if context is not None else None

    def _prepared_from_input(self, path: Path) -> Iterator[_Prepared]:
        """The submissions read again; ids must be the batch's own, and what a job had of its own is kept."""
        jobs = {job.id: replace(job, prompt=None) for job in self._client.batch(self._old.name).jobs()}
        if not jobs:
            return
        checked = self._checked(path, jobs, takes_raw=any(map(self._scheme, jobs.values())))
        given = {spec.id for spec in checked.specs()}
        if missing := sorted(jobs.keys() - given):
            raise InvalidInput(f"{path.name} lacks {len(missing)} of the batch's jobs, {missing[0]!r} among them")
        for spec in checked.specs(self._fence if checked.is_fenced else None, key=self._names.key):
            job = jobs.get(spec.id)
            if job is not None:
                parts = self._parts_of_input(spec, checked, self._scheme(job))
                again = replace(job, pseudonyms=spec.pseudonyms, input_flags=spec.flags)
                yield self._as_before(again, parts, spec.likeness, not_read=spec.not_read)

    def _parts_of_input(self, spec: JobSpec, checked: CheckedInput, scheme: GradingScheme | None) -> _Parts:
        """Each job has its own rubric; one without template and rubric brings its whole prompt."""
        if spec.left_out or not checked.is_fenced:
            return _Parts(None, spec.prompt)
        if checked.template is None and scheme is None:
            return _Parts(None, self._fence.contents(spec.prompt)[0])
        return _Parts(self._instructions(checked.template or "", scheme), spec.prompt)

    def _checked(self, path: Path, jobs: Mapping[str, StoredJob], *, takes_raw: bool) -> CheckedInput:
        first = next(iter(jobs.values()))
        template = self._change.template
        if template is None:
            self._refuse_lost_template()
            text = self._old.origin.template_text
            template = Template.parse(text, name=f"template of {self._old.name}") if text is not None else None
        checked = check_items(
            path,
            template=template,
            schema=first.schema,
            model=self._change.model or first.model,
            parameters=JobParameters(),
            section="" if takes_raw else None,  # each job's own rubric is put in later
            given=self._given,
            identity=self._names.rule,
            others=[(job.id, job.metadata) for job in jobs.values()],
            encoding=self._change.encoding,
            options=InputOptions(
                layout=self._old.origin.layout or "",
                id_column=self._old.origin.id_column or "",
                is_strict=False,
                roster=self._names.roster,
            ),
        )
        self._template_fields = checked.template_fields
        if self._change.on_note is not None:
            for note in checked.notes:
                self._change.on_note(note)
        return checked

    def _as_before(
        self, job: StoredJob, parts: _Parts, likeness: str | None, *, not_read: tuple[str, ...] = ()
    ) -> _Prepared:
        spec = JobSpec(
            id=job.id,
            prompt=parts.prompt,
            instructions=parts.instructions,
            schema=self._change.scheme.schema if self._change.scheme else job.schema,
            model=self._change.model or job.model,
            parameters=self._change.parameters(job.parameters),
            metadata=job.metadata,
            left_out="" if parts.prompt else str(job.metadata.get(NOT_GRADED, "not graded: nothing could be read")),
            likeness=likeness,
            not_read=not_read,
            flags=job.input_flags,
            pseudonyms=job.pseudonyms,
        )
        return _Prepared(spec, None if self._change.scheme else job.context_hash)
