"""A batch in charts: grades, what to look at, pace and cost. Each says in words, too, what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.page.students import context_of
from producer.page.words import DEDUCTIONS, failure_title, flag_title
from producer.review.glance import most_points_of
from producer.terminal.words import cost, counted
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.review.glance import Bars, BatchGlance, Board, Charts

_HEIGHT = 240
_COUNTS = {"tickMinStep": 1, "format": ",d"}
"""An axis of whole numbers."""


def show_charts(board: Board, glance: BatchGlance, *, schema: str | None) -> None:
    """Draw them; where there is nothing to draw yet, say so."""
    if not glance.finished:
        st.info("Charts appear with the first results.")
        return
    most = most_points_of(context_of(board))
    charts = board.charts(most_points=most)
    with st.grid(2, min_column_width=320):
        with st.container():
            _grades(charts, is_deduction=schema in DEDUCTIONS, has_scale=most is not None)
        with st.container():
            _to_look_at(glance)
        with st.container():
            _pace(charts)
        with st.container():
            _cost(charts, glance)


def _grades(charts: Charts, *, is_deduction: bool, has_scale: bool) -> None:
    what = "Points deducted" if is_deduction else "Points"
    st.subheader(f"{what} by student", anchor=False)
    bars = charts.grades
    if not bars.values:
        st.caption("These results have no number.")
        return
    reach = f"on a scale from {bars.low:g} to {bars.high:g}" if has_scale else f"from {bars.low:g} to {bars.high:g}"
    said = f"{counted(int(sum(bars.values)), 'student')} with points, {reach}"
    st.caption(said)
    _columns(bars, "quantitative", what, "Students", alt=said)


def _to_look_at(glance: BatchGlance) -> None:
    st.subheader("Failures and flags", anchor=False)
    mix = [(failure_title(kind), count) for kind, count in glance.failures.items()]
    mix += [(flag_title(kind), count) for kind, count in glance.flags.items()]
    if not mix:
        st.caption("None.")
        return
    said = ", ".join(f"{count} {title}" for title, count in mix)
    st.caption(said)
    axes = {
        "y": {"field": "what", "type": "nominal", "sort": "-x", "title": None, "axis": {"labelLimit": 220}},
        "x": {"field": "students", "type": "quantitative", "title": "Students", "axis": _COUNTS},
    }
    _draw([{"what": title, "students": count} for title, count in mix], axes, alt=said)


def _pace(charts: Charts) -> None:
    st.subheader("Results over time", anchor=False)
    bars = charts.finished
    minutes = (bars.high - bars.low) / 60
    said = f"{int(sum(bars.values)):,} in {minutes:.1f} minutes (times in UTC)"
    st.caption(said)
    _columns(bars, "temporal", "Time", "Results", alt=said)


def _cost(charts: Charts, glance: BatchGlance) -> None:
    st.subheader("Cost over time", anchor=False)
    if glance.provider == STANDIN_PROVIDER:
        st.caption("The stand-in costs nothing.")
        return
    bars = charts.cost_usd
    if not bars.values or glance.cost_usd is None:
        st.caption("Unknown: the model has no price here.")
        return
    said = f"{cost(glance.cost_usd)} so far"
    st.caption(said)
    _columns(bars, "temporal", "Time", "US dollars", alt=said)


def _columns(bars: Bars, scale: str, x: str, y: str, *, alt: str) -> None:
    """A column for each part of the range, as wide as the part; times are seconds, shown in UTC."""
    is_time = scale == "temporal"
    unit, zone = (1000, {"scale": {"type": "utc"}}) if is_time else (1, {})
    width = (bars.high - bars.low) / max(1, len(bars.values))
    axes = {
        "x": {"field": "from", "type": scale, "title": x, **zone},
        "x2": {"field": "to"},
        "y": {"field": "number", "type": "quantitative", "title": y, "axis": {} if y == "US dollars" else _COUNTS},
        "y2": {"datum": 0},
    }
    rows = [
        {"from": start * unit, "to": (start + (width or 1.0)) * unit, "number": number}
        for start, number in zip(bars.starts, bars.values, strict=True)
    ]
    _draw(rows, axes, alt=alt)


def _draw(rows: Sequence[Mapping[str, object]], axes: Mapping[str, object], *, alt: str) -> None:
    """By a specification of ours, which needs none of the libraries that Streamlit's own charts load first."""
    st.vega_lite_chart(
        {"data": {"values": list(rows)}, "mark": {"type": "bar", "tooltip": True}, "encoding": axes}, height=_HEIGHT,
        alt=alt,
    )  # fmt: skip
