"""A batch in charts: grades, what to look at, pace and cost. Each says in words, too, what it shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import streamlit as st

from producer.page.students import context_of
from producer.page.words import DEDUCTIONS, failure_title, flag_title
from producer.review.glance import most_points_of
from producer.terminal.words import cost, counted
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.review.glance import BatchGlance, Board, Charts

_HEIGHT = 240


def show_charts(board: Board, glance: BatchGlance, *, schema: str | None) -> None:
    """Draw them; where there is nothing to draw yet, say so."""
    if not glance.finished:
        st.info("Charts appear with the first results.")
        return
    charts = board.charts(most_points=most_points_of(context_of(board)))
    with st.grid(2, min_column_width=320):
        with st.container():
            _grades(charts, is_deduction=schema in DEDUCTIONS)
        with st.container():
            _to_look_at(glance)
        with st.container():
            _pace(charts)
        with st.container():
            _cost(charts, glance)


def _grades(charts: Charts, *, is_deduction: bool) -> None:
    what = "Points deducted" if is_deduction else "Points"
    st.subheader(f"{what} by student", anchor=False)
    bars = charts.grades
    if not bars.values:
        st.caption("These results have no number.")
        return
    said = f"{counted(int(sum(bars.values)), 'student')}, from {bars.low:g} to {bars.high:g} points"
    st.caption(said)
    _draw(what, [round(start, 2) for start in bars.starts], "Students", bars.values, alt=said)


def _to_look_at(glance: BatchGlance) -> None:
    st.subheader("Failures and flags", anchor=False)
    mix = [(failure_title(kind), count) for kind, count in glance.failures.items()]
    mix += [(flag_title(kind), count) for kind, count in glance.flags.items()]
    if not mix:
        st.caption("None.")
        return
    said = ", ".join(f"{count} {title}" for title, count in mix)
    st.caption(said)
    titles, counts = zip(*mix, strict=True)
    st.bar_chart(
        {"What": titles, "Students": counts}, x="What", y="Students", horizontal=True, sort="-Students", height=_HEIGHT,
        alt=said,
    )  # fmt: skip


def _pace(charts: Charts) -> None:
    st.subheader("Results over time", anchor=False)
    bars = charts.finished
    minutes = (bars.high - bars.low) / 60
    said = f"{int(sum(bars.values)):,} in {minutes:.1f} minutes (times in UTC)"
    st.caption(said)
    _draw("Time", list(map(_moment, bars.starts)), "Results", bars.values, alt=said)


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
    _draw("Time", list(map(_moment, bars.starts)), "US dollars", bars.values, alt=said)


def _draw(x: str, starts: Sequence[object], y: str, values: Sequence[float], *, alt: str) -> None:
    st.bar_chart({x: starts, y: values}, x=x, y=y, height=_HEIGHT, alt=alt)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
