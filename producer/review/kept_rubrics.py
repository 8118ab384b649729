"""The rubrics of a batch, kept by who looks at it again and again: a rubric never changes, and a batch only grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.review.doubt import doubts_of, most_points_of
from workers.store.results import read_contexts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from workers.store.student_choice import Doubts


class KeptRubrics:
    """What lists need of the rubrics of one batch: weights of doubt with every border, and maxima."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._read_at: tuple[str, int] | None = None
        self._doubts: Doubts = doubts_of({})
        self._most: dict[str, float | None] = {}

    def doubts(self, connection: Connection, batch: str, opened: int) -> Doubts:
        """Of this batch with so many jobs. One query where another batch was asked for before, or jobs were added."""
        if self._read_at != (batch, opened):
            found = read_contexts(connection, batch)
            self._doubts = doubts_of(found)
            self._most = {name: most_points_of(rubric) for name, rubric in found.items()}
            self._read_at = (batch, opened)
        return self._doubts

    def most_points(self, context_hash: str | None) -> float | None:
        """The maximum of this rubric; None where there is no rubric."""
        return self._most.get(context_hash or "")
