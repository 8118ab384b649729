"""Evidence: text that an answer quotes from the submission. Every quotation is looked up before the answer is stored.

Part of the contract: standard library and pydantic only. A schema marks a field with the type:

    class Finding(BaseModel):
        evidence: Evidence
        line_numbers: list[int]

A list of whole numbers named `line_numbers` beside the one quotation of an object is compared with where it was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

from workers.contract.answer_parts import answer_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel, GetCoreSchemaHandler

LINE_NUMBERS = "line_numbers"
"""Name of the field beside a quotation with the numbers of its lines, counted from 1."""


class Evidence(str):
    """A quotation from the submission; empty where nothing can be quoted. On the wire it is a plain string."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


@dataclass(frozen=True, slots=True)
class Quotation:
    """One quotation of an answer, and the object that holds it."""

    path: str
    """As the stored result names it: `criteria.loops.errors[0].evidence`."""
    text: str
    holder: BaseModel | None
    """None where it is in a list by itself, or is not the only one of its object."""

    @property
    def line_numbers(self) -> list[int] | None:
        """What the answer says of its place; None when it says nothing."""
        found = getattr(self.holder, LINE_NUMBERS, None)
        is_told = isinstance(found, list) and bool(found) and all(type(number) is int for number in found)
        return found if is_told else None


def quotations(answer: object) -> Iterator[Quotation]:
    """Every quotation of a validated answer, in the order of its fields."""
    for part in answer_parts(answer):
        if isinstance(part.value, Evidence):
            holder = part.holder if part.holder is not None and _quotes_once(part.holder) else None
            yield Quotation(part.path, part.value, holder)


def _quotes_once(model: BaseModel) -> bool:
    return sum(isinstance(getattr(model, name, None), Evidence) for name in type(model).model_fields) == 1
