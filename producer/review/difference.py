"""What would change if a regrade's grades became official: item by item, before any decision."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from rich.table import Table

from producer.terminal.words import counted
from workers.contract.decision import ReviewState
from workers.contract.headline import headline
from workers.store.sql import LIST_LENGTH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from producer.review.review import Review, ReviewItem

MOST_ROWS = 40
MOST_MOVES = 50
"""Moves that are kept; the others are counted."""


@dataclass(frozen=True, slots=True)
class Move:
    """One item: the grade that holds now, the one that would; None where either has no number."""

    item_id: str
    old: float | None
    new: float | None

    @property
    def distance(self) -> float | None:
        """New less old; None where either has no number."""
        return None if self.old is None or self.new is None else self.new - self.old


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialDifference:
    """How many, and the biggest."""

    moves: tuple[Move, ...]
    """The biggest first, at most `MOST_MOVES`."""
    changed: int
    """Items whose grade would be another one."""
    up: int
    down: int
    same: int

    def table(self) -> Table:
        """The biggest moves."""
        table = Table(title="biggest changes", title_justify="left")
        for column in ("id", "now", "new", "change"):
            table.add_column(column, overflow="fold")
        for move in self.moves[:MOST_ROWS]:
            table.add_row(
                move.item_id,
                "" if move.old is None else f"{move.old:g}",
                "" if move.new is None else f"{move.new:g}",
                "other fields" if not move.distance else f"{move.distance:+g}",
            )
        return table

    def summary(self) -> str:
        """In one sentence."""
        changed = counted(self.changed, "grade changes", "grades change")
        return f"{changed} ({self.up} up, {self.down} down), {counted(self.same, 'does', 'do')} not change"


def official_difference(review: Review, regrade: str, item_ids: Collection[str] | None = None) -> OfficialDifference:
    """Compare what holds in the review (the official grade, else the model's) with the regrade's results.

    Some of both are in memory at a time.
    """
    return difference_of(_beside(review, regrade, item_ids))


def _beside(review: Review, regrade: str, item_ids: Collection[str] | None) -> Iterator[tuple[ReviewItem, object]]:
    items = review.items(item_ids)
    while some := list(islice(items, LIST_LENGTH)):
        new = review.results_of(regrade, [item.row.id for item in some])
        yield from ((item, new[item.row.id]) for item in some if item.row.id in new)


def difference_of(pairs: Iterable[tuple[ReviewItem, object]]) -> OfficialDifference:
    """Items, each with the result that would become official."""
    changed = up = down = same = 0
    biggest: list[tuple[float, int, Move]] = []
    for item, new in pairs:
        old = item.row.result if item.official.state is ReviewState.UNDECIDED else item.official.result
        if old == new:
            same += 1
            continue
        move = Move(item.row.id, headline(old), headline(new))
        distance = move.distance or 0.0
        changed, up, down = changed + 1, up + (distance > 0), down + (distance < 0)
        # of two that moved as far, the one that came first
        entry = (abs(distance), -changed, move)
        (heapq.heappush if len(biggest) < MOST_MOVES else heapq.heappushpop)(biggest, entry)
    moves = tuple(move for _distance, _number, move in sorted(biggest, key=lambda entry: entry[:2], reverse=True))
    return OfficialDifference(moves=moves, changed=changed, up=up, down=down, same=same)
