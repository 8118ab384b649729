"""The strict schema of a Pydantic model, and the way from an answer back to the model.

Part of the contract: stdlib and pydantic only. The wire schema is the judge: an answer is checked against it as it was
sent, before Pydantic sees it. So a default never fills in what the model did not say, and no coercion makes a grade.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from pydantic import PydanticUserError, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic_core import PydanticCustomError, SchemaError, to_json

from workers.contract.errors import InvalidInput
from workers.contract.strict.agreement import disagreements
from workers.contract.strict.judge import Judge
from workers.contract.strict.lint import Violation, lint
from workers.contract.strict.wire_schema import WireNode, build_wire_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

Model = TypeVar("Model", bound="BaseModel")

_CACHED_MODELS = 512
"""Schemas made from a rubric are classes of their own; the bound lets old ones go."""
_MAX_NAME_LENGTH = 64


class UnsupportedSchema(InvalidInput):
    """Strict mode cannot hold this model, or the model refuses its own answers. `violations` lists every place."""

    violations: tuple[Violation, ...] = ()


def strict_schema(model: type[BaseModel], *, takes_lengths: bool = False) -> dict[str, object]:
    """Build the strict schema of a model, once; the dict is shared, so do not change it.

    `takes_lengths` sends `minLength` and `maxLength` to a server whose profile says that it holds them.
    Raises `UnsupportedSchema` when strict mode cannot hold the model, or the model would refuse every answer.
    """
    found = violations(model)
    if found:
        raise unsupported(model.__name__, found)
    return _wire_schema(model, takes_lengths)


def violations(model_or_schema: type[BaseModel] | Mapping[str, object]) -> list[Violation]:
    """Everything that strict mode would refuse in a model, or in a schema as it would be sent."""
    if isinstance(model_or_schema, type):
        return list(_model_violations(model_or_schema))
    return lint(model_or_schema)


def unsupported(name: str, found: list[Violation]) -> UnsupportedSchema:
    """Name every violation in one error."""
    lines = "".join(f"\n  {violation}" for violation in found)
    error = UnsupportedSchema(f"{name} cannot be held by a strict JSON schema:{lines}")
    error.violations = tuple(found)
    return error


def schema_name(model: type[BaseModel]) -> str:
    """Write the class name, with what the provider refuses in names (the brackets of a generic) replaced."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", model.__name__)[:_MAX_NAME_LENGTH]


def decode(model: type[Model], raw_json: str, *, is_lenient: bool = False) -> Model:
    """Validate an answer in its wire form; raises pydantic's `ValidationError` and nothing of its own beside it.

    The answer must fit the schema as it was sent: every property, no other, values of its types, finite numbers. NaN
    and Infinity are refused: JSON has no such values, and no store would take them. A key that is there twice in one
    object is refused too: which of the two the model meant is a guess, and a guess may be a wrong grade.

    `is_lenient` is for callers of the seed's function: properties with a default may be missing, others may be there
    where the model ignores them, and a dict may come as an object. What a validator of the model's own raises that is
    no ValueError passes through.
    """
    try:
        raw = raw_json.encode()
    except UnicodeEncodeError:
        message = "The answer holds half of a character (a lone surrogate)"
        raise _refusal(model, PydanticCustomError("lone_surrogate", message)) from None
    _refuse_ambiguous(model, raw_json)
    judge = _judge(model, is_lenient=False)
    try:
        restored = judge.restored(raw)
    except ValidationError:
        if not is_lenient:
            raise
        # Only now: beside a branch that an answer fits, another may fit it loosely.
        restored = _judge(model, is_lenient=True).restored(raw)
    return model.model_validate_json(to_json(restored) if judge.changes_form else raw)


class _AmbiguousError(Exception):
    def __init__(self, error: PydanticCustomError) -> None:
        super().__init__(error.type)
        self.error = error


def _refuse_ambiguous(model: type[BaseModel], raw_json: str) -> None:
    """Refuse what parsers read each in their own way. Numbers are left as text: nothing is done with them here."""
    try:
        json.loads(
            raw_json, object_pairs_hook=_without_doubles, parse_constant=_constant, parse_int=str, parse_float=str
        )
    except _AmbiguousError as ambiguous:
        raise _refusal(model, ambiguous.error) from None
    except (ValueError, RecursionError):
        return  # no JSON, or nested without end: its parser says so


def _without_doubles(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) == len(pairs):
        return
    seen: set[str] = set()
    for key, _value in pairs:
        if key in seen:
            # Half a character in it could not be written to a log or a file.
            shown = key.encode(errors="replace").decode()
            message = "The key '{key}' appears twice in one object"
            raise _AmbiguousError(PydanticCustomError("doubled_key", message, {"key": shown}))
        seen.add(key)


def _constant(_name: str) -> None:
    raise _AmbiguousError(PydanticCustomError("json_constant", "Invalid JSON: NaN and Infinity are not values"))


def _refusal(model: type[BaseModel], error: PydanticCustomError) -> ValidationError:
    return ValidationError.from_exception_data(model.__name__, [{"type": error, "loc": (), "input": None}])


@lru_cache(maxsize=_CACHED_MODELS)
def _model_violations(model: type[BaseModel]) -> tuple[Violation, ...]:
    try:
        wire = _wire_schema(model, takes_lengths=False)
        found = lint(wire)
        return tuple(found or disagreements(model, wire, _judge(model, is_lenient=False)))
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        # The first line alone: the rest of Pydantic's text is a link.
        reason = str(error).splitlines()[0]
        return (Violation("/", f"no JSON schema can be made ({reason})", "use types that JSON can carry"),)
    except SchemaError as error:
        reason = str(error).splitlines()[0]
        return (Violation("/", f"no answer can be checked against it ({reason})", "simplify the schema"),)
    except RecursionError:
        return (Violation("/", "the schema is nested too deeply", "split the schema"),)


@lru_cache(maxsize=_CACHED_MODELS)
def _wire_schema(model: type[BaseModel], takes_lengths: bool) -> WireNode:  # noqa: FBT001 - a key of the cache
    return build_wire_schema(model, takes_lengths=takes_lengths)


@lru_cache(maxsize=_CACHED_MODELS)
def _judge(model: type[BaseModel], is_lenient: bool) -> Judge:  # noqa: FBT001 - as above
    return Judge(_wire_schema(model, takes_lengths=False), title=model.__name__, is_lenient=is_lenient)
