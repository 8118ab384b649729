"""From an item to the job it asks for: its prompt, and what its row sets differently from the command's options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from producer.inputs import columns
from producer.inputs.text import refuse_half_characters
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters, JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from producer.inputs.item import InputItem
    from producer.templates import Template

Value = TypeVar("Value")

PROMPT = "prompt"
SUBMISSION = "submission"

_PARAMETER_COLUMNS: Mapping[str, tuple[str, Callable[[object], object]]] = {
    "temperature": ("temperature", columns.number),
    "max_tokens": ("max_tokens", columns.whole_number),
    "max_retries": ("max_retries", columns.whole_number),
    "retry_delay": ("retry_delay_seconds", columns.duration_seconds),
    "allow_repair": ("allow_repair", columns.truth),
    "fallback_model": ("fallback_model", columns.text),
    "deadline": ("deadline_seconds", columns.duration_seconds),
}
"""Column of a row -> field of JobParameters and how its value is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDefaults:
    """What the command's options say about every job. A row's own columns win."""

    template: Template | None
    schema: str | None
    model: str | None
    parameters: JobParameters
    known_schemas: Collection[str] | None = None
    """Names a row's `schema` may take; None takes any, for the enqueueing client to judge."""
    wrap_prompt: Callable[[str], str] | None = None
    """Makes the prompt from the rendered template or the raw submission, as `rubric_prompt` does."""


def build_specs(
    items: Iterable[InputItem],
    *,
    template: Template | None,
    schema: str | None,
    model: str | None,
    parameters: JobParameters,
    known_schemas: Collection[str] | None = None,
    wrap_prompt: Callable[[str], str] | None = None,
) -> Iterator[JobSpec]:
    """Yield one spec per item, lazily. The first item that gives none raises `InvalidInput` with its place.

    The prompt is the rendered template; without one, the column `prompt`; with `wrap_prompt` also `submission`.
    """
    defaults = JobDefaults(
        template=template,
        schema=schema,
        model=model,
        parameters=parameters,
        known_schemas=known_schemas,
        wrap_prompt=wrap_prompt,
    )
    return (build_spec(item, defaults) for item in items)


def build_spec(item: InputItem, defaults: JobDefaults) -> JobSpec:
    """Make the spec of one item; `InvalidInput` names the item's place, and the column where one is to blame."""
    try:
        return JobSpec(
            id=item.id,
            prompt=_prompt(item.fields, defaults),
            schema=_schema(item.fields, defaults),
            model=_column(item.fields, "model", columns.text) or defaults.model or _missing("model"),
            parameters=_parameters(item.fields, defaults.parameters),
            metadata=_metadata(item.fields),
        )
    except InvalidInput as problem:
        # The template's line, or nothing, stands in the problem; the row's place goes before it.
        raise InvalidInput(str(problem), where=item.where) from None


def _prompt(fields: Mapping[str, object], defaults: JobDefaults) -> str:
    written = _rendered(fields, defaults.template) if defaults.template else _verbatim(fields, defaults)
    prompt = defaults.wrap_prompt(written) if defaults.wrap_prompt and written.strip() else written
    refuse_half_characters(prompt, what="the prompt")
    return prompt


def _rendered(fields: Mapping[str, object], template: Template) -> str:
    prompt = template.render(fields)
    work = template.fields - {"id"}
    if work and all(columns.given(fields, name) is None for name in work):
        raise InvalidInput(f"nothing to grade: {columns.listed(work)} is empty; remove the row, or fill it in")
    return prompt


def _verbatim(fields: Mapping[str, object], defaults: JobDefaults) -> str:
    names = (PROMPT, SUBMISSION) if defaults.wrap_prompt else (PROMPT,)
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
    usable = sorted(fields.keys() - {"id", *_PARAMETER_COLUMNS, "schema", "model"})
    return f"{{{SUBMISSION if SUBMISSION in fields or not usable else usable[0]}}}"


def _schema(fields: Mapping[str, object], defaults: JobDefaults) -> str:
    schema = _column(fields, "schema", columns.text) or defaults.schema or _missing("schema")
    known = defaults.known_schemas
    if known is not None and schema not in known and ":" not in schema:
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


def _metadata(fields: Mapping[str, object]) -> Mapping[str, object]:
    try:
        return columns.metadata(fields)
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
