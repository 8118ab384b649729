"""What moved between two gradings, on the page: whether it is more than chance, whom it moved, the report to keep."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import streamlit as st

from producer.page.plain_text import plain
from producer.page.scatter_form import show_scatter
from producer.page.services import client
from producer.page.who import person
from producer.regrading.drift_html import drawn_by_chance, drift_html, histogram_svg, intervals_svg, scatter_svg
from producer.regrading.drift_report import Verdict
from producer.regrading.gradings import drift_of
from producer.regrading.repeats import repeats_of
from producer.review.opening import review_of
from producer.terminal.words import counted
from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from producer.regrading.drift_report import DriftReport, FieldVerdict
    from producer.regrading.totals import Mover

_KEPT = "last comparison"
"""Key in the session: what the last report was made of, and the report."""
KEPT_SECONDS = 600.0
"""A report quotes feedback: after a purge, which changes no count, no session shows it for longer."""
_WORDS = {
    Verdict.UNCHANGED: "the same",
    Verdict.NOISE: "no more than by chance",
    Verdict.TOO_FEW: "too few students to tell",
    Verdict.UNKNOWN: "changed; whether by chance is not known",
}


def show_drift(old: str, new: str) -> None:
    """Behind a switch: every result of both batches is looked at for it, some at a time."""
    if not st.toggle("Is it more than chance?", key=f"drift {old} {new}"):
        return
    try:
        report = _kept_report(old, new)
    except ServiceUnavailable as problem:
        if problem.service != "disk":
            raise
        st.info("What is needed to judge this is not installed. Ask who runs this page for the extra 'statistics'.")
        return
    _say_noise(report)
    moved = [each for each in report.fields if each.changed]
    if not moved:
        st.info("Every field is the same in both.")
        return
    st.dataframe([_field(each) for each in moved], hide_index=True, key="drift fields")
    _plots(report)
    if report.bands:
        st.subheader("Bands that change", anchor=False)
        lines = [{"from": before, "to": after, "students": count} for before, after, count in report.bands]
        st.dataframe(lines, hide_index=True, key="drift bands")
    if report.movers:
        st.subheader("Biggest moves", anchor=False)
        for each in report.movers:
            _mover(each)
    st.download_button(
        "Report as one HTML file", partial(_noted, report, person()), f"{old}-drift.html", "text/html",
        icon=":material/download:", key="drift report", on_click="ignore",
    )  # fmt: skip


def _kept_report(old: str, new: str) -> DriftReport:
    """The report, made again when a batch that it comes from is another one since: a click elsewhere does not wait."""
    made_of = _made_of(old, new)
    of, at, report = st.session_state.get(_KEPT, (None, 0.0, None))
    if report is None or of != made_of or monotonic() - at > KEPT_SECONDS:
        with st.spinner("Comparing every grade of both"):
            report = drift_of(client().batch(old), client().batch(new), exists=_exists, registry=client().registry)
        st.session_state[_KEPT] = (made_of, monotonic(), report)
    kept: DriftReport = report
    return kept


def _made_of(old: str, new: str) -> list[tuple[object, ...]]:
    """Counts of both and of their repeats: every new result comes with a request or a changed count."""
    asked = client()
    names = [each for name in (old, new) for each in (name, *repeats_of(name, _exists))]
    found = [(name, asked.batch(name).progress()) for name in names]
    return [(name, now.succeeded, now.failed, now.total, dict(now.attempts), now.usage) for name, now in found]


def _exists(name: str) -> bool:
    return client().find_batch(name) is not None


def _noted(report: DriftReport, by: str) -> bytes:
    for name in (report.old, report.new):
        review_of(client(), name).note_download(f"drift from {report.old} to {report.new}, html", by=by)
    return drift_html(report).encode()


def _say_noise(report: DriftReport) -> None:
    if report.noise_pairs:
        st.caption(
            f"How far the model scatters by itself is known from {counted(report.noise_pairs, 'pair')} of the same "
            "work graded in the same way."
        )
    else:
        st.caption(
            "How far the model scatters by itself was not measured, so small changes cannot be told from chance. It is "
            "measured by grading some of the same work again."
        )
        show_scatter(report.old)
    if report.copies:
        st.caption(f"{counted(report.copies, 'copy', 'copies')} of identical work are shown and not counted.")


def _field(each: FieldVerdict) -> dict[str, object]:
    said = _WORDS.get(each.verdict) or each.sentence
    return {
        "field": each.field.replace("_", " "),
        "changed": f"{each.changed} of {each.compared}",
        "verdict": said,
        "by chance": None if each.noise_size is None else round(each.noise_size, 2),
    }


def _plots(report: DriftReport) -> None:
    shown = [each for each in report.fields if each.changed and each.low is not None]
    if shown:
        said = "; ".join(f"{each.field.replace('_', ' ')}: {each.sentence}" for each in shown)
        st.image(intervals_svg(report.fields), caption="Shifts with their 95 % intervals", alt=said)
    totals = report.totals
    if not totals.compared:
        return
    said = f"{counted(totals.compared, 'student')}: {totals.higher} higher, {totals.lower} lower"
    with st.grid(2, min_column_width=300):
        caption = f"New totals over old ones. {drawn_by_chance(totals)}".strip(" .")
        st.image(scatter_svg(totals.dots), caption=caption, alt=said)
        st.image(histogram_svg(totals.changes), caption="How many moved by how much", alt=said)


def _mover(each: Mover) -> None:
    with st.expander(plain(f"{each.id}: {each.old:g} to {each.new:g}")):
        before, after = st.columns(2)
        for column, title, text in ((before, "Before", each.old_feedback), (after, "After", each.new_feedback)):
            column.caption(title)
            column.text(text or "no feedback")
