"""Whose turn it is among the batches of one queue, in proportion to their weights. Pure; knows no database.

Start-time fair queueing: each job of a batch costs 1/weight of the batch's time, and the batch that is least far goes
next. Who comes, or comes back, starts where the others are, so that 10,000 jobs hold up no batch of 20.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The unpublished rows of one batch that ask for one model."""

    batch_id: int
    opened: int
    model: str
    weight: float
    is_pilot: bool
    """Only its chosen jobs may start."""
    is_unproven: bool
    """None of its jobs has succeeded yet."""


@dataclass(slots=True, kw_only=True)
class Room:
    """How many more jobs may start, by model and by batch; who is not named has no bound."""

    models: dict[str, int]
    batches: dict[int, int]

    def is_left(self, candidate: Candidate) -> bool:
        """Whether one more job may start."""
        return self.models.get(candidate.model, 1) > 0 and self.batches.get(candidate.batch_id, 1) > 0

    def take(self, candidate: Candidate, count: int) -> None:
        """So many of it start; fewer than none gives them back."""
        if candidate.model in self.models:
            self.models[candidate.model] -= count
        if candidate.batch_id in self.batches:
            self.batches[candidate.batch_id] -= count


@dataclass(slots=True)
class Turns:
    """Kept from one choice to the next by who publishes; a new one starts all batches alike."""

    _reached: dict[int, float] = field(default_factory=dict)
    """Batch -> jobs chosen, over its weight."""
    _now: float = 0.0
    """Where the job chosen last began."""

    def choose(self, candidates: Sequence[Candidate], room: Room, *, at_most: int) -> list[int]:
        """Places of the candidates whose jobs come next, in order, one per job; takes them from `room`."""
        self._reached = {
            each.batch_id: max(self._reached.get(each.batch_id, self._now), self._now) for each in candidates
        }
        waiting = [(self._reached[each.batch_id], 0, place) for place, each in enumerate(candidates)]
        heapq.heapify(waiting)
        chosen: list[int] = []
        while waiting and len(chosen) < at_most:
            reached, count, place = waiting[0]
            candidate = candidates[place]
            if not room.is_left(candidate):
                heapq.heappop(waiting)
                continue
            if reached == self._reached[candidate.batch_id]:  # else another model of the batch was served meanwhile
                self._now = reached
                self._reached[candidate.batch_id] = reached + 1 / candidate.weight
                room.take(candidate, 1)
                chosen.append(place)
                count += 1  # models of one batch alternate
            heapq.heapreplace(waiting, (self._reached[candidate.batch_id], count, place))
        return chosen

    def give_back(self, candidate: Candidate, room: Room, count: int) -> None:
        """So many of its jobs were not there."""
        self._reached[candidate.batch_id] -= count / candidate.weight
        room.take(candidate, -count)
