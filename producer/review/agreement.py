"""How far a model's grades agree with a person's, and how sure that is. Needs the extra `statistics`.

Grades are numbers on their declared scale. Pairs of which one side is missing are left out and counted. What the data
cannot say is None with a reason, never nan or a perfect score out of nothing:

    fewer than ten pairs       no intervals
    a rater without variation  kappa, alpha and ICC are not defined

*Sources*: quadratic weighted kappa by the distance of the grades, not of their ranks (Cohen 1968); ICC(A,1), absolute
agreement of single ratings (McGraw and Wong 1996); Krippendorff's alpha for intervals; percentile bootstrap over items.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import krippendorff
import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap
from statsmodels.stats.inter_rater import cohens_kappa

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Numbers = np.ndarray[Any, np.dtype[np.float64]]

LEAST_FOR_INTERVALS = 10
"""Fewer pairs give an interval that promises more than it knows."""
RESAMPLES = 1_000
CONFIDENCE = 0.95
MOST_DISAGREEMENTS = 10
_SEED = 20_261_127
"""The same data give the same interval at every call."""
_ADJACENT_SHARE = 0.05
"""Without levels, grades so close on the scale count as adjacent."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its 95 % interval; None where the data do not allow it."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One item on which the two differ."""

    item_id: str
    person: float
    model: float

    @property
    def difference(self) -> float:
        """Model less person."""
        return self.model - self.person


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One field, compared over all items that both graded."""

    field: str
    pairs: int
    missing: int
    """Items that one of the two has and the other has not."""
    exact: Figure
    """Share of equal grades, 0 to 1."""
    adjacent: Figure
    """Share within one level, or within 5 % of the scale where there are none."""
    bias: Figure
    """Mean of model less person, in points."""
    mean_error: Figure
    """Mean absolute difference, in points."""
    kappa: Figure
    icc: Figure
    alpha: Figure
    notes: tuple[str, ...]
    worst: tuple[Disagreement, ...]


def agreement(
    field: str,
    person: Mapping[str, float],
    model: Mapping[str, float],
    *,
    highest: float | None = None,
    step: float | None = None,
    more: int = 0,
) -> Agreement:
    """Compare two gradings by item id. `highest` is the scale's end, `step` the distance of neighbouring levels.

    `more`: items that the model graded, and that are not in `model` because no person did.
    """
    ids = sorted(person.keys() & model.keys())
    hand = np.array([person[each] for each in ids], dtype=float)
    said = np.array([model[each] for each in ids], dtype=float)
    scale = highest or float(np.max(np.concatenate([hand, said]), initial=0.0))
    near = step if step is not None else _ADJACENT_SHARE * scale
    notes = _notes(hand, said)
    varies = not notes or notes == (_TOO_FEW,)

    def figure(statistic: Callable[[Numbers, Numbers], float], *, defined: bool = True) -> Figure:
        return _figure(statistic, hand, said) if defined and ids else Figure(None)

    kappa, icc, alpha = (figure(each, defined=varies) for each in (_kappa, _icc, _alpha))
    by_name = {"kappa": kappa, "ICC": icc, "alpha": alpha}
    lacking = [name for name, each in by_name.items() if varies and ids and each.value is None]
    return Agreement(
        field=field,
        pairs=len(ids),
        missing=len(person.keys() ^ model.keys()) + more,
        exact=figure(lambda a, b: float(np.mean(a == b))),
        adjacent=figure(lambda a, b: float(np.mean(np.abs(a - b) <= near + 1e-9))),
        bias=figure(lambda a, b: float(np.mean(b - a))),
        mean_error=figure(lambda a, b: float(np.mean(np.abs(b - a)))),
        kappa=kappa,
        icc=icc,
        alpha=alpha,
        notes=(*notes, *(f"{name} is not defined for these few grades" for name in lacking)),
        worst=_worst(ids, hand, said),
    )


_TOO_FEW = f"fewer than {LEAST_FOR_INTERVALS} pairs: no intervals"


def _notes(hand: Numbers, said: Numbers) -> tuple[str, ...]:
    if not len(hand):
        return ("no item was graded by both",)
    notes = [_TOO_FEW] if len(hand) < LEAST_FOR_INTERVALS else []
    constant = [name for name, grades in (("the person", hand), ("the model", said)) if np.ptp(grades) == 0]
    if len(constant) == 2:  # noqa: PLR2004 - both
        same = "all equal" if hand[0] == said[0] else "both gave everybody one grade"
        notes.append(f"{same}; kappa, ICC and alpha are not defined")
    elif constant:
        notes.append(f"{constant[0]} gave everybody the same grade; kappa, ICC and alpha are not defined")
    return tuple(notes)


def _figure(statistic: Callable[[Numbers, Numbers], float], hand: Numbers, said: Numbers) -> Figure:
    value = _finite(statistic(hand, said))
    if value is None or len(hand) < LEAST_FOR_INTERVALS:
        return Figure(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # of resamples that hold one grade alone: left out below
        drawn = bootstrap(
            (hand, said),
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(_SEED),
        ).bootstrap_distribution
    usable = drawn[np.isfinite(drawn)]
    if len(usable) < RESAMPLES // 2:
        return Figure(value)
    low, high = np.quantile(usable, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Figure(value, float(low), float(high))


def _kappa(hand: Numbers, said: Numbers) -> float:
    grades, places = np.unique(np.concatenate([hand, said]), return_inverse=True)
    if len(grades) == 1:
        return math.nan
    table = np.zeros((len(grades), len(grades)))
    np.add.at(table, (places[: len(hand)], places[len(hand) :]), 1)
    distances = np.subtract.outer(grades, grades) ** 2
    return float(cohens_kappa(table, weights=distances, return_results=False))


def _icc(hand: Numbers, said: Numbers) -> float:
    """ICC(A,1) of two raters, from the mean squares of a two-way layout."""
    ratings = np.column_stack([hand, said])
    count, raters = ratings.shape
    grand = ratings.mean()
    between_items = raters * np.sum((ratings.mean(axis=1) - grand) ** 2) / (count - 1) if count > 1 else math.nan
    between_raters = count * np.sum((ratings.mean(axis=0) - grand) ** 2) / (raters - 1)
    rest = ratings - ratings.mean(axis=1, keepdims=True) - ratings.mean(axis=0, keepdims=True) + grand
    error = np.sum(rest**2) / ((count - 1) * (raters - 1)) if count > 1 else math.nan
    below = between_items + (raters - 1) * error + raters * (between_raters - error) / count
    return float((between_items - error) / below) if below else math.nan


def _alpha(hand: Numbers, said: Numbers) -> float:
    if np.ptp(np.concatenate([hand, said])) == 0:
        return math.nan
    return float(krippendorff.alpha(np.vstack([hand, said]), level_of_measurement="interval"))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _worst(ids: list[str], hand: Numbers, said: Numbers) -> tuple[Disagreement, ...]:
    found = [
        Disagreement(item_id, float(person), float(model))
        for item_id, person, model in zip(ids, hand, said, strict=True)
        if person != model
    ]
    found.sort(key=lambda each: -abs(each.difference))
    return tuple(found[:MOST_DISAGREEMENTS])
