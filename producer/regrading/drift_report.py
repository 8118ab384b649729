"""A report on drift: what moved, whether that is more than noise, and which students it moved most. Pure.

Pairs of results are read once, one after the other; what is kept of them does not grow with the batch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from producer.regrading.drift import MOST_FIELDS, FieldDrift, Tally
from producer.regrading.field_pairs import no_decimals
from producer.regrading.totals import Totals
from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from producer.regrading.drift import Drift, Pair
    from producer.regrading.field_pairs import DecimalsOf
    from producer.regrading.shift import Shift
    from producer.regrading.totals import Mover


class Verdict(StrEnum):
    """What a field's changes are."""

    UNCHANGED = "unchanged"
    NOISE = "within noise"
    SHIFT = "shift"
    SCATTER = "more than noise"
    TOO_FEW = "too few pairs"
    UNKNOWN = "noise not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldVerdict:
    """One field. Numbers have a shift with its interval; labels a share of changes."""

    field: str
    verdict: Verdict
    compared: int
    changed: int
    shift: float | None = None
    low: float | None = None
    high: float | None = None
    noise_size: float | None = None
    """Mean size of a difference between two gradings of the same kind."""
    noise_changed: float | None = None
    """Share of such pairs that differ."""

    @property
    def sentence(self) -> str:
        """For people."""
        if self.verdict is Verdict.SHIFT and self.shift is not None:
            interval = "" if self.low is None else f" ({self.low:+.2f} to {self.high:+.2f})"
            return f"shift of {self.shift:+.2f}{interval}"
        if self.verdict is Verdict.SCATTER and self.noise_changed is not None:
            return f"changes more than noise does ({self.noise_changed:.0%} of repeats differ)"
        return str(self.verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """Two batches side by side, judged."""

    old: str
    new: str
    drift: Drift
    fields: tuple[FieldVerdict, ...]
    totals: Totals
    noise_pairs: int
    copies: int
    """Grades of twins that are shown and not counted: they say nothing of their own."""

    @property
    def movers(self) -> tuple[Mover, ...]:
        """Whom it moved most."""
        return self.totals.movers

    @property
    def bands(self) -> tuple[tuple[str, str, int], ...]:
        """(from, to, students), of those whose band changes."""
        return self.totals.bands

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before believing it, for the command line and the file."""
        notes = []
        if not self.noise_pairs:
            notes.append(f"noise was not measured; to do so: gradequeue regrade {self.old} --repeats 2 --sample 30")
        if self.copies:
            notes.append(f"{self.copies} copies of a twin's grade are shown and not counted in verdicts")
        if self.drift.has_more_fields:
            notes.append(f"the results have more than {MOST_FIELDS} different fields; the others are not judged")
        return tuple(notes)

    def as_json(self) -> dict[str, object]:
        """Ready for JSON."""
        return {
            "old": self.old,
            "new": self.new,
            "compared": self.drift.compared,
            "unchanged": self.drift.unchanged,
            "only_old": self.drift.only_old,
            "only_new": self.drift.only_new,
            "standin": self.drift.has_standin,
            "noise_pairs": self.noise_pairs,
            "fields": [asdict(each) for each in self.fields],
            "movers": [asdict(each) for each in self.movers],
            "bands": [{"from": old, "to": new, "students": count} for old, new, count in self.bands],
            "notes": list(self.notes),
        }


def drift_report(
    pairs: Iterable[Pair],
    noise: Iterable[Pair],
    *,
    old: str,
    new: str,
    old_results: int,
    new_results: int,
    decimals_of: DecimalsOf = no_decimals,
) -> DriftReport:
    """Judge the `pairs` of two batches against `noise`, pairs of the same work graded in the same way.

    `old_results`: how many results the old batch has. Raises `ServiceUnavailable` without scipy.
    """
    _check_statistics()
    found, alone, by_chance, totals = Tally(decimals_of), Tally(decimals_of), Tally(decimals_of), Totals()
    for pair in pairs:
        found.add(pair)
        totals.add(pair)
        if is_own(pair):
            alone.add(pair)
    for pair in noise:
        if is_own(pair):
            by_chance.add(pair)
    return DriftReport(
        old=old,
        new=new,
        drift=found.drift(old_results=old_results, new_results=new_results),
        fields=_verdicts(alone.fields, by_chance.fields),
        totals=totals,
        noise_pairs=by_chance.compared,
        copies=found.compared - alone.compared,
    )


def is_own(pair: Pair) -> bool:
    """Neither is the copy of a twin's grade, which says nothing of its own."""
    return all(row.same_as is None for row in pair)


def _check_statistics() -> None:
    try:
        import producer.regrading.shift  # noqa: F401, PLC0415 - an extra that few commands need
    except ModuleNotFoundError:
        raise ServiceUnavailable(
            "disk", "judging drift needs the extra `statistics`: pip install 'gradequeue[statistics]'"
        ) from None


def _verdicts(fields: Mapping[str, FieldDrift], noise: Mapping[str, FieldDrift]) -> tuple[FieldVerdict, ...]:
    from producer.regrading.shift import Moved, judge_numbers  # noqa: PLC0415 - an extra that few commands need

    def by_chance(each: FieldDrift) -> FieldDrift:
        return noise.get(each.name) or FieldDrift(each.name)

    numeric = [each for each in fields.values() if each.is_numeric]
    labels = [each for each in fields.values() if not each.is_numeric and each.has_labels]
    shifts, is_more = judge_numbers(
        # a number that never differed in repeats: its noise is nothing, which is not the same as unknown
        [Moved(differences=each.differences, noise=by_chance(each).differences) for each in numeric],
        [(each.changed, each.compared, by_chance(each).changed, by_chance(each).compared) for each in labels],
    )
    judged = {
        each.name: _numeric_verdict(each, shift, by_chance(each)) for each, shift in zip(numeric, shifts, strict=True)
    }
    judged |= {
        each.name: _verdict(each, by_chance(each), Verdict.SCATTER if more else _unmoved(by_chance(each)))
        for each, more in zip(labels, is_more, strict=True)
    }
    return tuple(
        judged.get(each.name) or _verdict(each, by_chance(each), Verdict.UNCHANGED)
        for each in fields.values()
        if each.name in judged or not each.changed
    )


def _numeric_verdict(field: FieldDrift, shift: Shift, noise: FieldDrift) -> FieldVerdict:
    verdict = Verdict.NOISE
    if shift.is_shift:
        verdict = Verdict.SHIFT
    elif shift.is_scatter:
        verdict = Verdict.SCATTER
    elif shift.low is None:
        verdict = Verdict.TOO_FEW
    return _verdict(field, noise, verdict, shift)


def _unmoved(noise: FieldDrift) -> Verdict:
    return Verdict.NOISE if noise.compared else Verdict.UNKNOWN


def _verdict(field: FieldDrift, noise: FieldDrift, verdict: Verdict, shift: Shift | None = None) -> FieldVerdict:
    return FieldVerdict(
        field=field.name,
        verdict=verdict,
        compared=field.compared,
        changed=field.changed,
        shift=shift.mean if shift else None,
        low=shift.low if shift else None,
        high=shift.high if shift else None,
        noise_size=noise.mean_size_of_all,
        noise_changed=noise.changed / noise.compared if noise.compared else None,
    )
