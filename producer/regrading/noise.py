"""The scatter of the model itself: the same work graded twice in the same way, as pairs of rows. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from producer.regrading.drift import FieldDrift, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from producer.batch import ResultRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Differences by field between gradings of the same kind."""

    pairs: int
    fields: dict[str, tuple[FieldDrift, ...]]

    def differences(self, field: str) -> list[float]:
        """Of a numeric field, the unchanged included; empty for what never had a difference in numbers."""
        drifts = self.fields.get(field, ())
        if not any(drift.numbers for drift in drifts):
            return []
        return [number for drift in drifts for number in drift.numbers or [0.0] * (drift.compared - drift.changed)]

    def changed(self, field: str) -> tuple[int, int]:
        """In how many pairs it differs, and of how many."""
        drifts = self.fields.get(field, ())
        return sum(drift.changed for drift in drifts), sum(drift.compared for drift in drifts)


def measure_noise(
    gradings: Iterable[Sequence[Sequence[ResultRow]]],
    *,
    decimals_of: Callable[[str], Collection[str]] = lambda _schema: (),
) -> Noise:
    """`gradings`: for each kind of grading the rows of the batch, then those of its repeats.

    Twins that the batch graded apart count as pairs, too; copies of a twin's grade do not.
    """
    fields: dict[str, list[FieldDrift]] = defaultdict(list)
    pairs = 0
    for batch, *repeats in gradings:
        twins = list(_twins_graded_apart(batch))
        for one, other in [*((batch, each) for each in repeats), *([_apart(twins)] if twins else [])]:
            found = compare(own_gradings(one), own_gradings(other), decimals_of=decimals_of)
            pairs += found.compared
            for each in found.fields:
                fields[each.name].append(each)
    return Noise(pairs=pairs, fields={name: tuple(drifts) for name, drifts in fields.items()})


def own_gradings(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """Without copies of a twin's grade: they say nothing of their own."""
    return [row for row in rows if row.same_as is None]


def _twins_graded_apart(rows: Sequence[ResultRow]) -> Iterable[tuple[ResultRow, ResultRow]]:
    groups: dict[tuple[str, str, str], list[ResultRow]] = defaultdict(list)
    for row in own_gradings(rows):
        if row.result is not None:
            groups[row.prompt_hash, row.model, row.schema].append(row)
    for group in groups.values():
        yield from list(pairwise(group))[::2]  # disjoint pairs, so that none counts twice


def _apart(pairs: Sequence[tuple[ResultRow, ResultRow]]) -> tuple[list[ResultRow], list[ResultRow]]:
    return [one for one, _other in pairs], [replace(other, id=one.id) for one, other in pairs]
