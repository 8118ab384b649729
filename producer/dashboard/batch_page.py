"""The page of one batch: live progress, each student's result or failure, another round, an end, downloads.

Everything is asked of the store anew, so a refresh or a restart shows the same. What a model or a student wrote is
drawn as text, never as Markdown or HTML.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from producer.dashboard.batch_list import ENQUEUED
from producer.dashboard.outage import says_when_away
from producer.dashboard.queries import ended_rows
from producer.dashboard.services import client
from producer.dashboard.tables import LABEL_LENGTH, csv_file, jsonl_file, table_of
from producer.dashboard.words import cost, duration, plain, rate
from producer.regrade import REGRADE_OF
from workers.contract.errors import InvalidInput
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.batches import Batch, BatchProgress
    from workers.store.reading import ResultRow

LIVE_SECONDS = 1.0
RESULTS_SECONDS = 3.0
MOST_ROWS = 1000
"""Rows on the page; a browser shows more slowly than a file does."""
STANDIN_NOTICE = "STAND-IN PROVIDER: these grades are not real."


def show(name: str, *, back: Callable[[], None]) -> None:
    """Draw the page of this batch."""
    if st.button("All batches", icon=":material/arrow_back:", type="tertiary", key="back"):
        back()
    batch = client().batch(name)
    try:
        progress = batch.progress()
    except InvalidInput as problem:
        st.error("There is no such batch.")
        st.text(problem)
        return
    st.header(plain(name), anchor=False)
    enqueued, report = st.session_state.get(ENQUEUED, (None, ""))
    if enqueued == name:
        st.info(plain(report))
    origin = batch.origin().get(REGRADE_OF)
    if origin:
        st.caption(f"Regrades {plain(origin)}; the grades there stay as they are.")
    if progress.provider == STANDIN_PROVIDER:
        st.warning(STANDIN_NOTICE, icon=":material/science:")
    is_live = not progress.is_finished
    st.fragment(says_when_away(_progress), run_every=LIVE_SECONDS if is_live else None)(batch, was_live=is_live)
    _steering(batch, progress)
    st.fragment(says_when_away(_results), run_every=RESULTS_SECONDS if is_live else None)(batch)


def _progress(batch: Batch, *, was_live: bool) -> None:
    progress = batch.progress()
    if was_live and progress.is_finished:
        st.rerun()  # the whole page: nothing needs to be asked again every second
    st.progress(
        progress.finished / progress.total if progress.total else 0.0,
        text=f"{progress.finished} of {progress.total} done",
    )
    numbers = {"Succeeded": str(progress.succeeded), "Failed": str(progress.failed)}
    if not progress.is_finished:
        numbers |= {
            "Running": str(progress.running),
            "Waiting": str(progress.waiting),
            "Pace": rate(progress.jobs_per_second),
            "Time left": duration(progress.seconds_left),
        }
    numbers |= {"Tokens": f"{progress.usage.total_tokens:,}", "Cost": cost(progress.cost_usd, progress.provider)}
    with st.grid(min_column_width=130):
        for label, number in numbers.items():
            st.metric(label, number)
    for reason in progress.waiting_for:
        st.info(plain(reason[0].upper() + reason[1:]))


def _steering(batch: Batch, progress: BatchProgress) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if not progress.is_finished and st.button("Cancel the rest", icon=":material/stop:", key="cancel"):
            _confirm_cancel(batch)
        st.download_button(
            "CSV", partial(csv_file, batch), f"{batch.name}.csv", "text/csv",
            icon=":material/download:", on_click="ignore", key="csv",
        )  # fmt: skip
        st.download_button(
            "JSONL", partial(jsonl_file, batch), f"{batch.name}.jsonl", "application/jsonl",
            icon=":material/download:", on_click="ignore", key="jsonl",
        )  # fmt: skip
    if progress.failures:
        _retry(batch, progress)


@st.dialog("Cancel what has not finished?")
@says_when_away
def _confirm_cancel(batch: Batch) -> None:
    st.write("Results that are there stay, and an answer that still arrives is kept. Cancelled jobs can be run again.")
    if st.button("Cancel them", type="primary", key="really cancel"):
        batch.cancel()
        st.rerun()


def _retry(batch: Batch, progress: BatchProgress) -> None:
    with st.container(border=True):
        st.markdown("**Failures**")
        for kind, count in progress.failures.items():
            st.text(f"{count} {kind}: {kind.advice}")
        kinds = st.multiselect(
            "Run again",
            list(progress.failures),
            default=list(progress.failures),
            key=f"kinds {sorted(progress.failures)}",
        )
        if st.button("Run the failed ones again", icon=":material/replay:", key="retry", disabled=not kinds):
            count = batch.retry_failed(kinds)
            st.toast(f"{count} jobs wait for another round")
            st.rerun()


def _results(batch: Batch) -> None:
    st.subheader("Students", anchor=False)
    only_failures = st.toggle("Failures only", key="failures only")
    rows = ended_rows(batch.name, failures_only=only_failures, at_most=MOST_ROWS + 1)
    if not rows:
        st.caption("No failures." if only_failures else "Nothing has ended yet.")
        return
    if len(rows) > MOST_ROWS:
        rows.pop()
        st.caption(f"The first {MOST_ROWS:,}; the files hold them all.")
    if any(row.is_standin for row in rows):
        st.caption("Grades marked as stand-in were made up by the stand-in provider.")
    if any(row.is_purged for row in rows):
        st.caption("Texts were purged: where there is no grade any more, counts and cost are what is left.")
    st.dataframe(table_of(rows), hide_index=True, key="table")
    by_id = {row.id: row for row in rows}
    chosen = st.selectbox("Student", list(by_id), key="student", index=0)
    if chosen in by_id:
        _student(by_id[chosen])


def _student(row: ResultRow) -> None:
    with st.container(border=True, key="one student"):
        with st.container(horizontal=True):
            st.text(row.id)
            if row.is_standin:
                st.badge("stand-in, not real", color="violet")
            if row.failure_kind is not None:
                st.badge(str(row.failure_kind).replace("_", " "), color="red")
        if row.failure_kind is not None:
            st.text(row.failure_message or "")
            st.text(row.advice)
        elif not row.is_purged:
            _value(row.result)
        if row.is_purged:
            st.text("The texts of this job were purged; counts and cost are what is left.")
        st.caption(
            f"{plain(row.model_answered or row.model)}, round {row.round}, {row.attempts} requests, "
            f"{row.usage.total_tokens:,} tokens, {cost(row.cost_usd, row.provider)}"
        )


def _value(value: object, label: str = "") -> None:
    """Any JSON as text: what is short on one line, prose below its name, each object in a box of its own."""
    if isinstance(value, dict):
        _object(value)
    elif isinstance(value, list):
        _list(value, label)
    else:
        if label:
            st.caption(plain(label))
        st.text(_word(value))


def _object(value: dict[str, object]) -> None:
    short = {name: part for name, part in value.items() if _is_short(part)}
    if short:
        st.text("\n".join(f"{_name(name)}: {_word(part)}" for name, part in short.items()))
    for name, part in value.items():
        if isinstance(part, dict):
            with st.container(border=True):
                st.markdown(f"**{plain(_name(name))}**")
                _object(part)
        elif name not in short:
            _value(part, _name(name))


def _list(value: list[object], label: str) -> None:
    st.caption(plain(label))
    if any(isinstance(part, dict | list) for part in value):
        for part in value:
            with st.container(border=True):
                _value(part)
        return
    st.text("\n".join(f"• {part}" for part in value) or "none")


def _is_short(value: object) -> bool:
    return not isinstance(value, dict | list) and len(_word(value)) <= LABEL_LENGTH


def _word(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _name(key: object) -> str:
    return str(key).replace("_", " ")
