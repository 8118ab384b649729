"""From an item to the job it asks for: its prompt, and what its row sets differently from the command's options."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from producer.inputs import columns
from producer.inputs.text import refuse_half_characters
from producer.inputs.work_columns import work_columns
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters, JobSpec, prompt_hash
from workers.contract.schemes.fence import Fence
from workers.contract.schemes.layout import instructions_text, students_part
from workers.contract.twins import TwinRule

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from producer.inputs.item import InputItem
    from producer.inputs.templates import BoundTemplate
    from workers.contract.model_parameters import ChoiceCheck
    from workers.contract.pictures import Picture

Value = TypeVar("Value")

PROMPT = "prompt"
SUBMISSION = "submission"
NOT_GRADED = "not_graded"
"""Metadata of an item with nothing to grade: why."""

_PARAMETER_COLUMNS: Mapping[str, tuple[str, Callable[[object], object]]] = {
    "temperature": ("temperature", columns.number),
    "max_tokens": ("max_tokens", columns.whole_number),
    "effort": ("effort", columns.text),
    "verbosity": ("verbosity", columns.text),
    "max_retries": ("max_retries", columns.whole_number),
    "retry_delay": ("retry_delay_seconds", columns.duration_seconds),
    "allow_repair": ("allow_repair", columns.truth),
    "fallback_model": ("fallback_model", columns.text),
    "deadline": ("deadline_seconds", columns.duration_seconds),
}
"""Column of a row -> field of JobParameters and how its value is read."""


@dataclass(frozen=True, kw_only=True)
class JobDefaults:
    """What the command's options say about every job. A row's own columns win."""

    template: BoundTemplate | None
    schema: str | None
    model: str | None
    parameters: JobParameters
    known_schemas: Collection[str] | None = None
    """Names a row's `schema` may take; None takes any, for the enqueueing client to judge."""
    section: str | None = None
    """What a rubric or catalogue adds to the instructions; with it a raw submission needs no template."""
    fence: Fence = field(default_factory=Fence.draw)
    """Of the batch; used where the prompt has parts."""
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Assignment, solution and notes by name, where there is no template to hold them."""
    twins: TwinRule = TwinRule.EXACT
    choices: ChoiceCheck | None = None
    """Refuses an effort or verbosity that a job's model does not take; None leaves that to the enqueueing client."""

    @property
    def has_parts(self) -> bool:
        """Whether the instructor's part is separate; else a row brings its whole prompt."""
        return self.template is not None or self.section is not None

    @cached_property
    def instructions(self) -> str | None:
        """The instructor's part, the same for every job; None where a row brings its whole prompt."""
        if not self.has_parts:
            return None
        words, apart = (self.template.words, self.template.apart) if self.template else ("", self.given)
        return instructions_text(section=self.section or "", words=words, given=apart, fence=self.fence)


def build_spec(item: InputItem, defaults: JobDefaults) -> JobSpec:
    """Make the spec of one item; `InvalidInput` names the item's place, and the column where one is to blame."""
    item = for_the_model(item, defaults)
    try:
        prompt = "" if item.left_out else _prompt(item.fields, defaults, item.pictures)
        spec = JobSpec(
            id=item.id,
            prompt=prompt,
            instructions=None if item.left_out else defaults.instructions,
            left_out=item.left_out,
            not_read=tuple(line.rpartition(": ")[2] for line in item.not_read),
            likeness=None if item.left_out else _likeness(item, prompt, defaults),
            schema=_schema(item.fields, defaults),
            model=_column(item.fields, "model", columns.text) or defaults.model or _missing("model"),
            parameters=_parameters(item.fields, defaults.parameters),
            metadata=_metadata(item),
        )
        if defaults.choices is not None:
            defaults.choices.check(spec)
    except InvalidInput as problem:
        # The problem names the template's line, or nothing; the row's place goes before it.
        raise InvalidInput(str(problem), where=item.where) from None
    return spec


def for_the_model(item: InputItem, defaults: JobDefaults) -> InputItem:
    """The item with its pictures where every model that may be asked sees them; else as it is without."""
    if item.with_pictures is None or defaults.choices is None or not defaults.has_parts:
        return item
    models = (defaults.model, defaults.parameters.fallback_model)
    return item.with_pictures if all(map(defaults.choices.sees, filter(None, models))) else item


def _prompt(fields: Mapping[str, object], defaults: JobDefaults, pictures: Mapping[str, Picture]) -> str:
    """The student's part, or the whole prompt that the row brings."""
    if defaults.template is not None:
        prompt = students_part(values_of_row(fields, defaults.template), defaults.fence)
    else:
        prompt = _verbatim(fields, defaults)
        if defaults.has_parts and prompt.strip():
            prompt = students_part([(SUBMISSION, prompt)], defaults.fence)
    for sign, picture in pictures.items():  # behind the fence, which refuses work that holds its mark
        prompt = prompt.replace(sign, picture.line(defaults.fence.mark))
    refuse_half_characters(prompt, what="the prompt")
    return prompt


def _likeness(item: InputItem, prompt: str, defaults: JobDefaults) -> str | None:
    """Of the prompt of all items with the same fields; None where the row brought its whole prompt."""
    if defaults.twins is TwinRule.OFF or not defaults.has_parts:
        return None
    fields = item.fields
    normal = {name: defaults.twins.normal(value) if isinstance(value, str) else value for name, value in fields.items()}
    return prompt_hash(prompt if normal == fields else _prompt(normal, defaults, item.pictures))


def values_of_row(fields: Mapping[str, object], template: BoundTemplate) -> list[tuple[str, str]]:
    """What the template brings in of the row; `InvalidInput` when everything that could hold the work is empty."""
    values = template.values(fields)
    if template.work and all(columns.given(fields, name) is None for name in template.work):
        raise InvalidInput(f"nothing to grade: {columns.listed(template.work)} is empty; remove the row, or fill it in")
    return values


def _verbatim(fields: Mapping[str, object], defaults: JobDefaults) -> str:
    names = (PROMPT, SUBMISSION) if defaults.has_parts else (PROMPT,)
    found = next((fields[name] for name in names if name in fields), None)
    if isinstance(found, str):
        return found
    if found is not None:
        raise InvalidInput("column 'prompt' expects a text")
    raise InvalidInput(
        "there is no prompt; add a column 'prompt', or give --template with a text file in which "
        f"{_example_placeholder(fields)} stands"
    )


def _example_placeholder(fields: Mapping[str, object]) -> str:
    usable = sorted(work_columns(fields))
    return f"{{{SUBMISSION if SUBMISSION in fields or not usable else usable[0]}}}"


def _schema(fields: Mapping[str, object], defaults: JobDefaults) -> str:
    schema = _column(fields, "schema", columns.text) or defaults.schema or _missing("schema")
    known = defaults.known_schemas
    if known is not None and schema not in known:
        hint = columns.did_you_mean(schema, known)
        raise InvalidInput(f"schema {schema!r} is unknown{hint}; known are {columns.listed(known)}")
    return schema


def _parameters(fields: Mapping[str, object], defaults: JobParameters) -> JobParameters:
    changes = {
        parameter: _column(fields, column, read)
        for column, (parameter, read) in _PARAMETER_COLUMNS.items()
        if columns.given(fields, column) is not None
    }
    return replace(defaults, **changes) if changes else defaults  # type: ignore[arg-type] # each reader gives its field's type


def _metadata(item: InputItem) -> Mapping[str, object]:
    found: dict[str, object] = {"files_not_read": list(item.not_read)} if item.not_read else {}
    if item.left_out:
        found[NOT_GRADED] = item.left_out
    try:
        return {**item.metadata, **found, **columns.metadata(item.fields)}
    except InvalidInput as problem:
        raise InvalidInput(f"column {columns.METADATA!r}: {problem.message}") from None


def _column(fields: Mapping[str, object], column: str, read: Callable[[object], Value]) -> Value | None:
    value = columns.given(fields, column)
    if value is None:
        return None
    try:
        return read(value)
    except InvalidInput as problem:
        raise InvalidInput(f"column {column!r} {problem.message}") from None


def _missing(what: str) -> str:
    raise InvalidInput(f"there is no {what}; give --{what}, or add a column {what!r}")
