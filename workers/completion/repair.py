"""A repair: the model is shown its invalid answer with what does not fit, and asked once more. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.contract.outcome import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.completion.classify import Ending


@dataclass(frozen=True, slots=True)
class Repair:
    """An answer that was not valid, and why."""

    raw_output: str = field(repr=False)
    validation_errors: tuple[Mapping[str, object], ...] = field(repr=False)


def repair_of(ending: Ending) -> Repair | None:
    """Make the repair of an invalid answer; None where there is no text to show: a blank answer has nothing to correct.

    A refusal, a filtered and a truncated answer are not repaired either: asked again, the model would do the same.
    """
    if not isinstance(ending, Failure) or ending.kind is not FailureKind.INVALID_OUTPUT or is_blank(ending):
        return None
    return Repair(ending.raw_output or "", ending.validation_errors)


def is_blank(failure: Failure) -> bool:
    """Whether the model answered, and said nothing."""
    return failure.kind is FailureKind.INVALID_OUTPUT and not (failure.raw_output or "").strip()


def repair_messages(repair: Repair) -> list[dict[str, str]]:
    """What follows the prompt: the model's own answer, and what to correct."""
    lines = [f"- {_place(error)}: {error.get('msg', 'not valid')}" for error in repair.validation_errors]
    correction = [
        "Your answer above does not fit the schema:",
        *(lines or ["- it is not valid"]),
        "Give the whole answer again as JSON that fits the schema. Correct these places and keep the rest as it is.",
    ]
    return [
        {"role": "assistant", "content": repair.raw_output},
        {"role": "user", "content": "\n".join(correction)},
    ]


def _place(error: Mapping[str, object]) -> str:
    location = error.get("loc")
    return ".".join(map(str, location)) if isinstance(location, list | tuple) and location else "the whole answer"
