"""Regrading: the jobs of a batch asked anew, as a batch of its own beside the old one, which stays as it is.

With another model the stored prompts are sent again. Another rubric goes around what stood inside the old one's fence.
Another template needs what the student handed in. That stands in the store once, inside the prompt; it is cut out along
the old template, and every cut is proved by putting the prompt together again. Where it cannot be proved (two columns
side by side, a prompt from somewhere else), nothing is guessed: the input has to be given again. See docs/decisions/.

The new batch is named after the old one and what changed, or after the night, so the same regrade twice is one.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from producer.client import MAX_NAME_LENGTH
from producer.inputs import check_items
from producer.scheme import scheme_of_context
from producer.templates import Placeholder, Template, as_text
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters, JobSpec, QueueName
from workers.contract.rubric import prompt_with_submission
from workers.store.content import StoredJob, read_context, read_jobs
from workers.store.overview import find_overview

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from producer.client import JobClient
    from producer.scheme import GradingScheme
    from workers.store.batches import EnqueueReport
    from workers.store.overview import BatchOverview

REGRADE_OF = "regrade_of"
"""Key in a batch's origin: the name of the batch that was regraded."""
TEMPLATE_TEXT = "template_text"
"""Key in a batch's origin: the template its prompts were made with."""
_FENCED = re.compile(r"\A(?P<section>.*?)\n\n# Submission\n\n.*?\n\n<<< (?P<mark>[0-9a-f]{8})\n", re.DOTALL)


class SubmissionUnknown(InvalidInput):
    """The stored prompts do not tell what was handed in. `message` is the reason alone; `str()` adds what helps."""

    def __str__(self) -> str:
        return f"{super().__str__()}; give the submissions again with --input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a regrade does differently; one of the first three at least."""

    model: str | None = None
    template: Template | None = None
    scheme: GradingScheme | None = None
    input_path: Path | None = None
    """The submissions, read again instead of cut out of the prompts."""

    def __post_init__(self) -> None:
        if self.model is None and self.template is None and self.scheme is None:
            raise InvalidInput("nothing would change; give another --model, --template or --rubric")

    @property
    def asks_differently(self) -> bool:
        """Whether prompts change, so that submissions are needed."""
        return self.template is not None or self.scheme is not None

    @property
    def digest(self) -> str:
        """Tells two changes apart, hex."""
        content = [
            self.model,
            self.template.sha256 if self.template else None,
            self.scheme.digest if self.scheme else None,
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def regrade(
    client: JobClient,
    batch: str,
    change: Change,
    *,
    name: str | None = None,
    queue: QueueName = QueueName.BULK,
    note: Mapping[str, object] | None = None,
) -> EnqueueReport:
    """Enqueue the batch's jobs with the change as a new batch linked to it; again does nothing.

    Without a new rubric or catalogue every job keeps its own. Every job is prepared before anything is enqueued, so a
    batch is regraded as a whole or not at all; only where its jobs have several rubrics, it is enqueued rubric by
    rubric, and the same call completes what was interrupted. `note` is kept with the new batch. Raises `InvalidInput`,
    as `SubmissionUnknown` when a prompt was purged or a submission cannot be told.
    """
    old = _overview(client, batch)
    prepared = list(_prepared(client, old, change))
    if not prepared:
        raise InvalidInput(f"batch {batch!r} holds no jobs")
    reports = [
        client.enqueue(
            specs,
            name=name or regrade_name(batch, change),
            queue=queue,
            context=change.scheme.context if change.scheme else _context(client, context_hash),
            origin={**_origin(old, change), **(note or {})},
        )
        for context_hash, specs in _by_context(prepared).items()
    ]
    return replace(
        reports[-1], new=sum(report.new for report in reports), existing=sum(report.existing for report in reports)
    )


def regrade_name(batch: str, change: Change) -> str:
    """`week3-regrade-1f2e3d4c`: the same change finds its own batch again."""
    return linked_name(batch, f"regrade-{change.digest[:8]}")


def linked_name(batch: str, suffix: str) -> str:
    """The batch's name with a suffix, within the bound; a long name is cut and told apart by its hash."""
    room = MAX_NAME_LENGTH - len(suffix) - 1
    if len(batch) > room:
        batch = f"{batch[: room - 9]}-{hashlib.sha256(batch.encode()).hexdigest()[:8]}"
    return f"{batch}-{suffix}"


def _overview(client: JobClient, batch: str) -> BatchOverview:
    with client.store.snapshot() as connection:
        overview = find_overview(connection, batch)
    if overview is None:
        raise InvalidInput(f"there is no batch {batch!r}; `gradequeue status` lists them")
    return overview


def _origin(old: BatchOverview, change: Change) -> dict[str, object]:
    kept = {key: old.origin.get(key) for key in ("input", TEMPLATE_TEXT)}
    if change.template is not None:
        kept[TEMPLATE_TEXT] = change.template.text
    return {
        **kept,
        REGRADE_OF: old.name,
        "model": change.model,
        "template": change.template.sha256 if change.template else None,
        "scheme": change.scheme.digest if change.scheme else None,
    }


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A job of the new batch, and under which hash the rubric or catalogue that it keeps is stored."""

    spec: JobSpec
    context_hash: str | None


def _by_context(prepared: list[_Prepared]) -> dict[str | None, list[JobSpec]]:
    """The jobs of each rubric; those that need none go with the first, so that nearly every batch is one enqueue."""
    first = next((job.context_hash for job in prepared if job.context_hash), None)
    found: dict[str | None, list[JobSpec]] = {}
    for job in prepared:
        found.setdefault(job.context_hash or first, []).append(job.spec)
    return found


def _context(client: JobClient, context_hash: str | None) -> Mapping[str, object] | None:
    if context_hash is None:
        return None
    with client.store.snapshot() as connection:
        return read_context(connection, context_hash)


def _prepared(client: JobClient, old: BatchOverview, change: Change) -> Iterator[_Prepared]:
    if change.input_path is not None:
        yield from _prepared_from_input(client, old, change, change.input_path)
        return
    make_prompt = _prompt_maker(client, old, change)
    with client.store.snapshot() as connection:
        for job in read_jobs(connection, old.name):
            spec = JobSpec(
                id=job.id,
                prompt=make_prompt(job),
                schema=change.scheme.schema if change.scheme else job.schema,
                model=change.model or job.model,
                parameters=job.parameters,
                metadata=job.metadata,
            )
            yield _Prepared(spec, None if change.scheme else job.context_hash)


def _prompt_maker(client: JobClient, old: BatchOverview, change: Change) -> Callable[[StoredJob], str]:
    old_template = _old_template(old) if change.template is not None else None
    scheme_of = _scheme_finder(client, change)

    def make_prompt(job: StoredJob) -> str:
        scheme = scheme_of(job)
        if job.prompt is None:
            raise SubmissionUnknown(f"the prompt of job {job.id!r} was purged")
        if not change.asks_differently:
            return job.prompt
        is_wrapped = job.context_hash is not None
        if change.template is not None:
            written = change.template.render(submission_fields(job, old_template, is_wrapped=is_wrapped))
        else:
            written = _unwrapped(job) if is_wrapped else job.prompt
        return scheme.wrap_prompt(written) if scheme else written

    return make_prompt


def _scheme_finder(client: JobClient, change: Change) -> Callable[[StoredJob], GradingScheme | None]:
    """The new scheme for every job, or else the one that the job was enqueued with."""

    @cache
    def kept(schema: str, context_hash: str | None) -> GradingScheme | None:
        context = _context(client, context_hash)
        return scheme_of_context(schema, context) if context is not None else None

    return lambda job: change.scheme or kept(job.schema, job.context_hash)


def _old_template(old: BatchOverview) -> Template | None:
    text = old.origin.get(TEMPLATE_TEXT)
    if text is None and old.origin.get("template") is not None:
        raise SubmissionUnknown(f"the template of batch {old.name!r} was not kept")
    return Template.parse(str(text), name=f"template of {old.name}") if text is not None else None


def submission_fields(job: StoredJob, template: Template | None, *, is_wrapped: bool) -> dict[str, object]:
    """What stood in the template's placeholders, proved by rendering it again; raises `SubmissionUnknown`.

    A prompt that no template made is the submission as a whole: `{submission}` and `{prompt}` both name it.
    """
    text = _unwrapped(job) if is_wrapped else job.prompt or ""
    known: dict[str, object] = {"id": job.id, **{f"metadata.{key}": value for key, value in job.metadata.items()}}
    if template is None:
        return {**known, "submission": text, "prompt": text}
    unknown = sorted(template.fields - known.keys())
    if len(unknown) > 1:
        names = ", ".join(f"{{{name}}}" for name in unknown)
        raise SubmissionUnknown(f"the old template holds {names}, and where one ends cannot be told")
    fields = {**known, **({unknown[0]: _cut_out(text, template, unknown[0], known)} if unknown else {})}
    if template.render(fields) != text:
        raise SubmissionUnknown(f"the prompt of job {job.id!r} was not made with the kept template")
    return fields


def _cut_out(text: str, template: Template, name: str, known: Mapping[str, object]) -> str:
    """The one unknown, wherever it stands: its length follows from that of everything around it."""
    before: list[str] = []
    around = uses = 0
    for part in template.parts:
        if isinstance(part, Placeholder) and part.name == name:
            uses += 1
            continue
        literal = as_text(known[part.name]) if isinstance(part, Placeholder) else part
        around += len(literal)
        if not uses:
            before.append(literal)
    start = len("".join(before))
    return text[start : start + max(0, len(text) - around) // uses]


def _unwrapped(job: StoredJob) -> str:
    """The text between the fences of a rubric prompt; its digest in the fence proves the cut."""
    prompt = job.prompt or ""
    fenced = _FENCED.match(prompt)
    if fenced is not None:
        inner = prompt[fenced.end() : -len(f">>> {fenced['mark']}\n")]
        for text in (inner, inner.removesuffix("\n")):
            if prompt_with_submission(fenced["section"], text) == prompt:
                return text
    raise SubmissionUnknown(f"the prompt of job {job.id!r} is not laid out as a rubric's")


def _prepared_from_input(client: JobClient, old: BatchOverview, change: Change, path: Path) -> Iterator[_Prepared]:
    """The submissions read again; ids must be the batch's own, and what a job had of its own is kept."""
    with client.store.snapshot() as connection:
        jobs = {job.id: replace(job, prompt=None) for job in read_jobs(connection, old.name)}
    first = next(iter(jobs.values()), None)
    if first is None:
        return
    scheme_of = _scheme_finder(client, change)
    checked = check_items(
        path,
        template=change.template or _old_template(old),
        schema=first.schema,
        model=change.model or first.model,
        parameters=JobParameters(),
        wrap_prompt=str if any(map(scheme_of, jobs.values())) else None,  # takes raw submissions; wrapped below
    )
    given = {spec.id for spec in checked.specs()}
    if missing := sorted(jobs.keys() - given):
        raise InvalidInput(f"{path.name} lacks {len(missing)} of the batch's jobs, {missing[0]!r} among them")
    for spec in checked.specs():
        job = jobs.get(spec.id)
        if job is not None:
            yield _Prepared(_as_before(spec, job, change, scheme_of(job)), None if change.scheme else job.context_hash)


def _as_before(spec: JobSpec, job: StoredJob, change: Change, scheme: GradingScheme | None) -> JobSpec:
    return replace(
        spec,
        prompt=scheme.wrap_prompt(spec.prompt) if scheme else spec.prompt,
        schema=scheme.schema if scheme else job.schema,
        model=change.model or job.model,
        parameters=job.parameters,
        metadata=job.metadata,
    )
