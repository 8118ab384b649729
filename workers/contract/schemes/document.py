"""Grading documents: JSON or YAML files that instructors write, read without a guess about what they mean.

Part of the contract: stdlib and pydantic only, and PyYAML where a document is YAML. What rubrics and catalogues share:
the file, its fields, exact points.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workers.contract.errors import InvalidInput
from workers.contract.schemes.yaml_document import YAML_SUFFIXES, parse_yaml
from workers.contract.validation_words import first_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_MAX_DOCUMENT_BYTES = 16 * 1024 * 1024

Points = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"\S")]
Document = TypeVar("Document", bound=BaseModel)


class FormModel(BaseModel):
    """A part of a grading document. A misspelt or unknown field is refused: it could change grades unseen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def read_document(path: Path) -> object:
    """The JSON or YAML of a file; `InvalidInput` when it cannot be read, is neither, or an object has one key twice."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror or type(error).__name__}", where=path.name) from None
    if len(raw) > _MAX_DOCUMENT_BYTES:
        raise InvalidInput("is too large to be a grading document", where=path.name)
    try:
        text = raw.decode("utf-8-sig")
        if path.suffix.casefold() in YAML_SUFFIXES:
            return parse_yaml(text, where=path.name)
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"is not valid JSON ({error.msg})", where=f"{path.name} line {error.lineno}") from None
    except UnicodeDecodeError:
        raise InvalidInput("is not UTF-8 text; save it in UTF-8", where=path.name) from None
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _DoubleKeyError) else "is not usable JSON"
        raise InvalidInput(reason, where=path.name) from None


def parse_document(model: type[Document], entry: object, *, where: str) -> Document:
    """Validate one entry; `InvalidInput` names the field of the first fault and counts the others."""
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        place, sentence = first_fault(error)
        raise InvalidInput(sentence, where=f"{where} {place}".strip()) from None


def refuse_doubles(names: Sequence[str], *, what: str) -> None:
    """`ValueError` for a name that appears twice; for use in validators."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{what} {twice!r} appears twice; rename one")


def exact(points: float) -> Decimal:
    """The number as it was written, so that 0.1 + 0.2 is 0.3."""
    return Decimal(repr(points))


def exact_sum(points: Iterable[float]) -> float:
    """Sum without the rounding of binary fractions."""
    return float(sum(map(exact, points), Decimal(0)))


class _DoubleKeyError(ValueError):
    """JSON takes the last of two; which one the instructor means nobody knows."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _DoubleKeyError(f"the key {twice!r} appears twice in one object; rename one")
    return dict(pairs)
