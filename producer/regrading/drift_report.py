"""A report on drift: what moved, whether that is more than noise, and which students it moved most. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from producer.regrading.drift import compare
from producer.regrading.noise import Noise, measure_noise, own_gradings
from workers.contract.errors import ServiceUnavailable
from workers.contract.headline import headline

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from producer.batch import ResultRow
    from producer.regrading.drift import Drift, FieldDrift
    from producer.regrading.shift import Shift

MOST_MOVERS = 10
_FEEDBACK = ("overall_feedback", "feedback", "summary", "comment")


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
class Mover:
    """A student whose grade moved far, with what both gradings wrote."""

    id: str
    old: float
    new: float
    old_feedback: str
    new_feedback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """Two batches side by side, judged."""

    old: str
    new: str
    drift: Drift
    fields: tuple[FieldVerdict, ...]
    movers: tuple[Mover, ...]
    bands: tuple[tuple[str, str, int], ...]
    """(from, to, students), of those whose band changes."""
    totals: tuple[tuple[float, float], ...]
    """(old, new) of every student with a total in both."""
    noise_pairs: int
    copies: int
    """Grades of twins that are shown and not counted: they say nothing of their own."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before believing it, for the command line and the file."""
        notes = []
        if not self.noise_pairs:
            notes.append(f"noise was not measured; to do so: gradequeue regrade {self.old} --repeats 2 --sample 30")
        if self.copies:
            notes.append(f"{self.copies} copies of a twin's grade are shown and not counted in verdicts")
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
    old: Sequence[Sequence[ResultRow]],
    new: Sequence[Sequence[ResultRow]],
    *,
    decimals_of: Callable[[str], Collection[str]] = lambda _schema: (),
) -> DriftReport:
    """`old` and `new`: the rows of the batch, then those of its repeats. Raises `ServiceUnavailable` without scipy."""
    found = compare(old[0], new[0], decimals_of=decimals_of)
    alone = compare(own_gradings(old[0]), own_gradings(new[0]), decimals_of=decimals_of)
    noise = measure_noise([old, new], decimals_of=decimals_of)
    names = tuple(rows[0].batch if rows else "" for rows in (old[0], new[0]))
    pairs = _paired(old[0], new[0])
    return DriftReport(
        old=names[0],
        new=names[1],
        drift=found,
        fields=_verdicts(alone.fields, noise),
        movers=_movers(pairs),
        bands=_bands(pairs),
        totals=tuple(
            (before, after)
            for one, other in pairs
            if (before := headline(one.result)) is not None and (after := headline(other.result)) is not None
        ),
        noise_pairs=noise.pairs,
        copies=found.compared - alone.compared,
    )


def _verdicts(fields: Sequence[FieldDrift], noise: Noise) -> tuple[FieldVerdict, ...]:
    try:
        from producer.regrading.shift import Moved, judge_numbers  # noqa: PLC0415 - an extra that few commands need
    except ModuleNotFoundError:
        raise ServiceUnavailable(
            "disk", "judging drift needs the extra `statistics`: pip install 'gradequeue[statistics]'"
        ) from None
    numeric = [each for each in fields if each.numbers]
    labels = [each for each in fields if not each.numbers and each.has_labels]
    shifts, is_more = judge_numbers(
        [
            Moved(differences=each.numbers, noise=noise.differences(each.name) or _zeros(noise, each))
            for each in numeric
        ],
        [(each.changed, each.compared, *noise.changed(each.name)) for each in labels],
    )
    judged = {each.name: _numeric_verdict(each, shift, noise) for each, shift in zip(numeric, shifts, strict=True)}
    judged |= {
        each.name: _verdict(each, noise, Verdict.SCATTER if more else _unmoved(each, noise))
        for each, more in zip(labels, is_more, strict=True)
    }
    return tuple(
        judged.get(each.name) or _verdict(each, noise, Verdict.UNCHANGED)
        for each in fields
        if each.name in judged or not each.changed
    )


def _zeros(noise: Noise, field: FieldDrift) -> list[float]:
    """A number that never differed in repeats: its noise is nothing, which is not the same as unknown."""
    changed, compared = noise.changed(field.name)
    return [0.0] * (compared - changed)


def _numeric_verdict(field: FieldDrift, shift: Shift, noise: Noise) -> FieldVerdict:
    verdict = Verdict.NOISE
    if shift.is_shift:
        verdict = Verdict.SHIFT
    elif shift.is_scatter:
        verdict = Verdict.SCATTER
    elif shift.low is None:
        verdict = Verdict.TOO_FEW
    return _verdict(field, noise, verdict, shift)


def _unmoved(field: FieldDrift, noise: Noise) -> Verdict:
    return Verdict.NOISE if noise.changed(field.name)[1] else Verdict.UNKNOWN


def _verdict(field: FieldDrift, noise: Noise, verdict: Verdict, shift: Shift | None = None) -> FieldVerdict:
    changed, compared = noise.changed(field.name)
    sizes = [abs(each) for each in noise.differences(field.name)]
    return FieldVerdict(
        field=field.name,
        verdict=verdict,
        compared=field.compared,
        changed=field.changed,
        shift=shift.mean if shift else None,
        low=shift.low if shift else None,
        high=shift.high if shift else None,
        noise_size=sum(sizes) / len(sizes) if sizes else None,
        noise_changed=changed / compared if compared else None,
    )


def _paired(old: Sequence[ResultRow], new: Sequence[ResultRow]) -> list[tuple[ResultRow, ResultRow]]:
    before = {row.id: row for row in old if row.result is not None}
    return [(before[row.id], row) for row in new if row.result is not None and row.id in before]


def _movers(pairs: Sequence[tuple[ResultRow, ResultRow]]) -> tuple[Mover, ...]:
    found = [
        Mover(id=one.id, old=before, new=after, old_feedback=_feedback(one), new_feedback=_feedback(other))
        for one, other in pairs
        if (before := headline(one.result)) is not None
        and (after := headline(other.result)) is not None
        and before != after
    ]
    found.sort(key=lambda mover: -abs(mover.new - mover.old))
    return tuple(found[:MOST_MOVERS])


def _feedback(row: ResultRow) -> str:
    result = row.result if isinstance(row.result, dict) else {}
    return next((text for name in _FEEDBACK if isinstance(text := result.get(name), str)), "")


def _bands(pairs: Sequence[tuple[ResultRow, ResultRow]]) -> tuple[tuple[str, str, int], ...]:
    moves: Counter[tuple[str, str]] = Counter()
    for one, other in pairs:
        old, new = (row.result.get("band") if isinstance(row.result, dict) else None for row in (one, other))
        if old != new:
            moves[str(old or "none"), str(new or "none")] += 1
    return tuple((old, new, count) for (old, new), count in moves.most_common())
