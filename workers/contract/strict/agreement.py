"""Whether a model takes the answers that its own wire schema asks for.

Part of the contract: stdlib and pydantic only. A model whose schema and validator disagree about form (an alias that is
a path, a JSON schema written by hand) would fail every job after it was paid for. A validator that is only stricter
about values is no disagreement: it is asked with made-up text here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError
from pydantic_core import core_schema, to_json

from workers.contract.strict.lint import Violation
from workers.contract.strict.samples import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from workers.contract.strict.judge import Judge
    from workers.contract.strict.wire_schema import WireNode

Step = str | int
_ABOUT_FORM = frozenset(
    {
        *(kind for kind in get_args(core_schema.ErrorType) if kind.endswith("_type")),
        *("missing", "extra_forbidden", "literal_error", "enum", "none_required", "is_instance_of"),
        *("union_tag_invalid", "union_tag_not_found", "unexpected_keyword_argument", "frozen_field"),
    }
)
"""Kinds of error that no other text or number in the same place could avoid."""
_HINT = "give the field one plain name, and let its JSON schema say what its validator takes"


def disagreements(model: type[BaseModel], wire: WireNode, judge: Judge) -> Iterator[Violation]:
    """Find the first place where the model refuses the form that its schema asks for."""
    for sample in samples(wire):
        try:
            restored = judge.restored(to_json(sample))
        except ValidationError:
            continue  # text made up for a pattern or a repeated key: nothing is known about the model
        try:
            model.model_validate_json(to_json(restored))
        except ValidationError as error:
            found = [(tuple(each["loc"]), each["type"], each["msg"]) for each in _errors(error)]
            if blamed := _blamed(found, restored, ()):
                place, message = blamed
                yield Violation(_path(place), f"the model refuses an answer that fits this schema ({message})", _HINT)
                return
        except Exception:  # noqa: BLE001, S112 - a validator of the user's own may raise anything over made-up text
            continue


def _errors(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False, include_context=False, include_input=False))


def _blamed(
    found: list[tuple[tuple[Step, ...], str, str]], value: object, place: tuple[Step, ...]
) -> tuple[tuple[Step, ...], str] | None:
    """The place and message of an error about form; in a union every branch must have one."""
    unions: dict[tuple[Step, ...], dict[Step, list[tuple[tuple[Step, ...], str, str]]]] = {}
    below: dict[tuple[Step, ...], object] = {}
    for location, kind, message in found:
        known, rest, inner = _followed(location, value)
        if not rest or (kind == "missing" and len(rest) == 1):
            if kind in _ABOUT_FORM:
                return (*place, *location), message
            continue
        below[known] = inner
        unions.setdefault(known, {}).setdefault(rest[0], []).append((rest[1:], kind, message))
    for known, branches in unions.items():
        blames = [_blamed(errors, below[known], (*place, *known)) for errors in branches.values()]
        if all(blames):
            return blames[0]
    return None


def _followed(location: tuple[Step, ...], value: object) -> tuple[tuple[Step, ...], tuple[Step, ...], object]:
    """Follow a location through the answer; what is left begins with the name of a union's branch."""
    for number, step in enumerate(location):
        is_there = step in value if isinstance(value, dict) else isinstance(step, int) and _has_item(value, step)
        if not is_there:
            return location[:number], location[number:], value
        value = value[step]  # type: ignore[index] # a dict or a list, as asked above
    return location, (), value


def _has_item(value: object, index: int) -> bool:
    return isinstance(value, list) and index < len(value)


def _path(place: tuple[Step, ...]) -> str:
    steps = ["items" if isinstance(step, int) else f"properties/{step}" for step in place]
    return "/" + "/".join(steps)
