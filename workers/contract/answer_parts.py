"""Every part of a validated answer with the path under which the stored result shows it.

Part of the contract: pydantic only. Computed fields are no part: the model did not say them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """One value somewhere in an answer."""

    path: str
    """`criteria.loops.errors[0].evidence`; empty for the answer itself."""
    value: object
    holder: BaseModel | None
    """The object of which it is a field; None for an entry of a list or a dictionary."""


def answer_parts(value: object, path: str = "", holder: BaseModel | None = None) -> Iterator[AnswerPart]:
    """The value and all that it holds, in the order of its fields."""
    yield AnswerPart(path, value, holder)
    if isinstance(value, BaseModel):
        for name, part in _fields(value):
            yield from answer_parts(part, _below(path, name), value)
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from answer_parts(part, _below(path, str(name)))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from answer_parts(part, f"{path}[{number}]")


def _fields(model: BaseModel) -> Iterator[tuple[str, object]]:
    by_alias = model.model_config.get("serialize_by_alias", False)
    for name, field in type(model).model_fields.items():
        shown = (field.serialization_alias or field.alias or name) if by_alias else name
        yield "" if model.__pydantic_root_model__ else shown, getattr(model, name, None)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
