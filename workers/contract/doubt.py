"""Doubt: how an answer says that something cannot be judged, instead of judging it anyway.

Part of the contract: pydantic only. Schemas of users may use both types:

    class Review(BaseModel):
        work: WorkState
        style: StyleReview | CannotAssess
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from workers.contract.answer_parts import answer_parts
from workers.contract.flag import Flag, FlagKind

if TYPE_CHECKING:
    from collections.abc import Iterator


class WorkState(StrEnum):
    """Whether what was handed in can be graded at all; bad work can."""

    ASSESSABLE = "assessable"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    OTHER_TASK = "other_task"


WORK_DESCRIPTION = (
    "assessable, however bad the work is; else empty (nothing of the student's own), unreadable (no text that makes "
    "sense), or other_task (work for another assignment)"
)
_OFF_TASK = {
    WorkState.EMPTY: "the model found nothing to assess",
    WorkState.UNREADABLE: "the model could not read the work",
    WorkState.OTHER_TASK: "the work seems to be for another assignment",
}


class CannotAssess(BaseModel):
    """Takes the place of a judgement that what was handed in does not allow."""

    cannot_assess: str = Field(description="Why this cannot be judged from what was handed in")


def doubts(answer: object) -> Iterator[Flag]:
    """A flag for everything that the answer says it cannot judge."""
    for part in answer_parts(answer):
        if isinstance(part.value, CannotAssess):
            message = "no judgement and no points; the result says why"
            yield Flag(kind=FlagKind.CANNOT_ASSESS, path=part.path, message=message)
        elif isinstance(part.value, WorkState) and part.value in _OFF_TASK:
            yield Flag(kind=FlagKind.OFF_TASK, path=part.path, message=_OFF_TASK[part.value])


def without_refusal_to_doubt(context: dict[str, object]) -> dict[str, object]:
    """A stored document without `cannot_assess` where it is false, as earlier releases wrote and read it."""
    return {name: value for name, value in context.items() if name != "cannot_assess" or value}
