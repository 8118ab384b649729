"""What would change if a regrade's grades became official: item by item, before any decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from producer.review.doubt import headline
from workers.contract.decision import ReviewState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from producer.review.review import Review

MOST_ROWS = 40


@dataclass(frozen=True, slots=True)
class Move:
    """One item: the grade that holds now, the one that would."""

    item_id: str
    old: object | None
    new: object

    @property
    def distance(self) -> float | None:
        """New less old; None where either has no number."""
        old, new = headline(self.old), headline(self.new)
        return None if old is None or new is None else new - old


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialDifference:
    """All of them, the biggest first."""

    moves: tuple[Move, ...]
    same: int

    @property
    def changed(self) -> int:
        """Items whose grade would be another one."""
        return len(self.moves)

    def table(self) -> Table:
        """The biggest moves."""
        table = Table(title="biggest changes", title_justify="left")
        for column in ("id", "now", "new", "change"):
            table.add_column(column, overflow="fold")
        for move in self.moves[:MOST_ROWS]:
            old, new, distance = headline(move.old), headline(move.new), move.distance
            table.add_row(
                move.item_id,
                "" if old is None else f"{old:g}",
                "" if new is None else f"{new:g}",
                "other fields" if not distance else f"{distance:+g}",
            )
        return table

    def summary(self) -> str:
        """In one sentence."""
        numbers = [move.distance for move in self.moves if move.distance]
        up = sum(each > 0 for each in numbers)
        return f"{self.changed} grades change ({up} up, {len(numbers) - up} down), {self.same} do not change"


def official_difference(review: Review, regrade: str, item_ids: Collection[str] | None = None) -> OfficialDifference:
    """Compare what holds in the review (the official grade, else the model's) with the regrade's results."""
    return difference_to(review, review.results_of(regrade), item_ids)


def difference_to(
    review: Review, new: Mapping[str, object], item_ids: Collection[str] | None = None
) -> OfficialDifference:
    """The same with results that are in no batch."""
    moves, same = [], 0
    for item in review.items(item_ids):
        if item.row.id not in new:
            continue
        undecided = item.official.state is ReviewState.UNDECIDED
        old = item.row.result if undecided else item.official.result
        if old == new[item.row.id]:
            same += 1
        else:
            moves.append(Move(item.row.id, old, new[item.row.id]))
    moves.sort(key=lambda move: -abs(move.distance or 0.0))
    return OfficialDifference(moves=tuple(moves), same=same)
