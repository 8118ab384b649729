"""Every part of a validated answer with the path under which the stored result shows it.

Part of the contract: pydantic only. Computed fields are no part: the model did not say them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class AnswerPart(NamedTuple):
    """One value somewhere in an answer."""

    path: str
    """`criteria.loops.errors[0].evidence`; empty for the answer itself."""
    value: object
    holder: BaseModel | None
    """The object of which it is a field; None for an entry of a list or a dictionary."""


_HOLDERS = (BaseModel, dict, list, tuple)


def answer_parts(value: object, path: str = "", holder: BaseModel | None = None) -> Iterator[AnswerPart]:
    """The value and all that it holds, in the order of its fields."""
    yield AnswerPart(path, value, holder)
    for below, part in _parts(value, path):
        model = value if isinstance(value, BaseModel) else None
        if isinstance(part, _HOLDERS):
            yield from answer_parts(part, below, model)
        else:
            yield AnswerPart(below, part, model)


def _parts(value: object, path: str) -> Iterable[tuple[str, object]]:
    if isinstance(value, BaseModel):
        return [(_below(path, shown), getattr(value, name, None)) for name, shown in _names(type(value))]
    if isinstance(value, dict):
        return [(_below(path, str(name)), part) for name, part in value.items()]
    return [(f"{path}[{number}]", part) for number, part in enumerate(value)] if isinstance(value, list | tuple) else []


@lru_cache(maxsize=512)
def _names(model: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """Each field's name, and the one under which it is shown."""
    if model.__pydantic_root_model__:
        return tuple((name, "") for name in model.model_fields)
    by_alias = model.model_config.get("serialize_by_alias", False)
    return tuple(
        (name, (field.serialization_alias or field.alias or name) if by_alias else name)
        for name, field in model.model_fields.items()
    )


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
