"""What was handed in, read out of a stored prompt again: exactly, or not at all.

Where the instructor's part is separate, every field has a block of its own. Prompts of earlier releases are one
text: below a rubric a field is a block there, too; else it is cut out along the kept template, and every cut is proved
by putting the prompt together again. Where it cannot be proved (two columns side by side, a prompt from somewhere
else), nothing is guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.inputs.specs import SUBMISSION
from producer.inputs.templates import Placeholder, as_text
from workers.contract.errors import InvalidInput
from workers.contract.schemes.fence import text_below_the_section
from workers.contract.schemes.layout import students_part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.batch import StoredJob
    from producer.inputs.templates import BoundTemplate
    from workers.contract.schemes.fence import Fence


class SubmissionUnknown(InvalidInput):
    """A submission cannot be recovered from its prompt. `message` is the reason alone; `str()` adds what helps."""

    def __str__(self) -> str:
        return f"{super().__str__()}; give the submissions again with --input"


def submission_fields(job: StoredJob, template: BoundTemplate | None, *, fence: Fence | None) -> dict[str, object]:
    """The values of the template's placeholders; `fence` is None for a prompt without one. Raises `SubmissionUnknown`.

    A prompt that no template made is the submission as a whole: `{submission}` and `{prompt}` both name it.
    """
    known: dict[str, object] = {"id": job.id, **{f"metadata.{key}": value for key, value in job.metadata.items()}}
    if job.instructions is not None and fence is not None:
        return known | _fields_of_parts(job, template, fence)
    if fence is not None:
        return known | _fenced_fields(job, template, fence, known)
    text = job.prompt or ""
    if template is None:
        return {**known, "submission": text, "prompt": text}
    unknown = sorted(template.fields - known.keys())
    if len(unknown) > 1:
        names = ", ".join(f"{{{name}}}" for name in unknown)
        raise SubmissionUnknown(f"the old template holds {names}, and it is unknown where one ends and the next begins")
    fields = {**known, **({unknown[0]: _cut_out(text, template, unknown[0], known)} if unknown else {})}
    if template.render(fields) != text:
        raise _not_made_with(job)
    return fields


def fenced_text(job: StoredJob, fence: Fence) -> str:
    """The part of a fenced prompt below the rubric: the rendered template, or the submission alone."""
    text = text_below_the_section(job.prompt or "", fence)
    if text is None or not fence.contents(text) or text.count(fence.mark) != 2 * len(fence.contents(text)):
        raise SubmissionUnknown(f"the prompt of job {job.id!r} is not laid out as a rubric's")
    return text


def _fenced_fields(
    job: StoredJob, template: BoundTemplate | None, fence: Fence, known: Mapping[str, object]
) -> dict[str, object]:
    text = fenced_text(job, fence)
    blocks = fence.contents(text)
    if template is None:
        if len(blocks) != 1:
            raise SubmissionUnknown(f"the prompt of job {job.id!r} has several parts, and its template was not kept")
        return {"submission": blocks[0], "prompt": blocks[0]}
    names = template.fenced_names
    found: dict[str, object] = dict(zip(names, blocks, strict=False))
    again = {text, text.removesuffix("\n")}
    if len(names) != len(blocks) or template.render({**known, **found}, fence=fence) not in again:
        raise _not_made_with(job)
    return found


def _fields_of_parts(job: StoredJob, template: BoundTemplate | None, fence: Fence) -> dict[str, object]:
    prompt = job.prompt or ""
    blocks = fence.contents(prompt)
    names = [SUBMISSION] if template is None else template.part_names
    if len(names) != len(blocks) or students_part(zip(names, blocks, strict=True), fence) != prompt:
        raise _not_made_with(job)
    found: dict[str, object] = dict(zip(names, blocks, strict=True))
    return {**found, "prompt": blocks[0]} if template is None else found


def _cut_out(text: str, template: BoundTemplate, name: str, known: Mapping[str, object]) -> str:
    """The one unknown field: its length follows from the length of everything around it."""
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


def _not_made_with(job: StoredJob) -> SubmissionUnknown:
    return SubmissionUnknown(f"the prompt of job {job.id!r} was not made with the kept template")
