"""The page of one batch: how far it is, its students, charts, failures, releases, comparisons, who did what.

Everything is read from the store again, so a refresh or a restart shows the same. What a model or a student wrote is
drawn as text, never as Markdown or HTML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.page.batch_list import ENQUEUED
from producer.page.charts import show_charts
from producer.page.comparing import show_comparing
from producer.page.deciding import show_last_word
from producer.page.downloads import show_downloads
from producer.page.outage import dialog_says_when_away, says_when_away
from producer.page.plain_text import plain
from producer.page.releasing import show_releasing
from producer.page.rescoring import show_rescoring
from producer.page.retry_form import retry_form
from producer.page.services import client
from producer.page.spending import show_gate, show_limits
from producer.page.students import ask_choice, choose, kept_rubrics, open_student, show_students
from producer.page.waiting import show_going_on, why_it_waits
from producer.page.who import may_decide, may_own
from producer.page.words import ACTIONS, flag_advice, flag_title
from producer.review.glance import Choice, Show
from producer.review.opening import board_of
from producer.terminal.words import STANDIN_NOTICE, cost, counted, duration, moment, rate
from workers.contract.errors import InvalidInput
from workers.contract.twins import TwinRule
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.batch import Batch
    from producer.review.glance import BatchGlance, Board

LIVE_SECONDS = 1.0
RESULTS_SECONDS = 3.0
JOBS_PER_SECOND = 2000
"""A list in the order of doubt is made of every result: a large batch's is refreshed less often."""
STUDENTS_TAB = "Students"
MOST_ENTRIES = 100
"""Lines of the activity; the newest."""


def refresh_seconds(glance: BatchGlance) -> float | None:
    """Between two looks at the list of students; None when nothing of the batch changes by itself."""
    return None if glance.is_finished else max(RESULTS_SECONDS, glance.finished / JOBS_PER_SECOND)


def show(name: str, *, back: Callable[[], None]) -> None:
    """Draw the page of this batch."""
    if st.button("All batches", icon=":material/arrow_back:", type="tertiary", key="back"):
        back()
    batch, board = client().batch(name), board_of(client(), name)
    try:
        glance = board.glance()
    except InvalidInput:
        st.error("There is no such batch.")
        return
    st.header(plain(name), anchor=False)
    show_last_word()
    _say_origin(name, glance)
    is_live = not glance.is_finished
    st.fragment(says_when_away(_numbers), run_every=LIVE_SECONDS if is_live else None)(
        batch, board, glance, was_live=is_live
    )
    _actions(batch, board, glance)
    _tabs(batch, board, glance)


def _say_origin(name: str, glance: BatchGlance) -> None:
    enqueued, report = st.session_state.get(ENQUEUED, (None, ""))
    if enqueued == name:
        st.info(plain(report))
    origin = glance.origin
    if origin.regrade_of:
        st.caption(f"Regrades {plain(origin.regrade_of)}; its grades are kept.")
    if origin.twins == TwinRule.OFF:
        st.caption("Identical work is graded each time.")
    elif glance.followers:
        alike = ", comments and formatting apart" if origin.twins == TwinRule.NEAR else ""
        count = counted(glance.followers, "submission")
        st.caption(f"{count} identical to another{alike}: identical work is graded once.")
    if glance.provider == STANDIN_PROVIDER:
        st.warning(STANDIN_NOTICE, icon=":material/science:")


def _numbers(batch: Batch, board: Board, drawn: BatchGlance, *, was_live: bool) -> None:
    """Drawn with the page from what it has just read; refreshed by itself it looks again."""
    is_first = st.session_state.get("numbers drawn") is not drawn
    glance = drawn if is_first else board.glance()
    st.session_state["numbers drawn"] = drawn
    if was_live and glance.is_finished:
        st.rerun()  # the whole page: nothing needs to be asked again every second
    share = glance.finished / glance.total if glance.total else 0.0
    st.progress(share, text=f"{glance.finished} of {glance.total} done")
    numbers = {"Graded": str(glance.succeeded), "Failed": str(glance.failed)}
    if glance.finished:
        numbers["Not reviewed"] = str(glance.undecided)
    if not glance.is_finished:
        numbers |= {
            "Being graded": str(glance.running),
            "Waiting": str(glance.waiting),
        }
    if not glance.is_finished and not _is_stopped(glance):
        numbers |= {"Speed": rate(glance.jobs_per_second), "Time left": duration(glance.seconds_left)}
    numbers |= {"Cost": cost(glance.cost_usd, glance.provider)}
    with st.grid(min_column_width=140):
        for label, number in numbers.items():
            st.metric(label, number)
    _say_waiting(glance)
    show_gate(batch, glance)


def _is_stopped(glance: BatchGlance) -> bool:
    """Nothing more starts before somebody acts, so the pace of before says nothing about the time that is left."""
    return glance.closed is not None or glance.park is not None or not glance.live_workers


def _say_waiting(glance: BatchGlance) -> None:
    """Why nothing moves, and what to do about it."""
    if glance.waiting and not glance.live_workers and glance.park is None and glance.closed is None:
        st.warning("No worker runs, so nothing is graded. Start one with this command; the page continues by itself.")
        options = ["--queues", glance.queue, *(["--offline"] if glance.provider == STANDIN_PROVIDER else [])]
        st.code(f"gradequeue worker {' '.join(options)}", language=None)
        return
    for reason in why_it_waits(glance):
        st.info(plain(reason))
    show_going_on(glance)


def _actions(batch: Batch, board: Board, glance: BatchGlance) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if glance.undecided and may_decide():
            st.button(
                f"Review {counted(glance.undecided, 'grade')}", type="primary", icon=":material/rate_review:",
                key="review", on_click=_start_review, args=(board,),
            )  # fmt: skip
        if not glance.is_finished and may_own() and st.button("Cancel the rest", icon=":material/stop:", key="cancel"):
            _confirm_cancel(batch)
        show_downloads(batch)


def _start_review(board: Board) -> None:
    """Open the student to read first among those nobody decided about."""
    choice = Choice(show=Show.UNDECIDED)
    choose(board.batch, choice)
    first = board.students(choice, rubrics=kept_rubrics(), at_most=1).rows
    if first:
        open_student(board.batch, first[0].id)


def _tabs(batch: Batch, board: Board, glance: BatchGlance) -> None:
    """Only the open one is read and drawn."""
    problems = f"Problems ({glance.failed})" if glance.failed else "Problems"
    tabs = st.tabs(
        [STUDENTS_TAB, "Charts", problems, "Release", "Points", "Compare", "Limits", "Activity"],
        on_change="rerun", key="tabs",
    )  # fmt: skip
    students, charts, failed, release, points, compare, limits, activity = tabs
    schema = glance.origin.schema
    with students:
        if students.open:
            ask_choice(glance)
            drawn = st.fragment(says_when_away(show_students), run_every=refresh_seconds(glance))
            drawn(board, schema)
    with charts:
        if charts.open:
            says_when_away(show_charts)(board, glance, schema=schema)
    with failed:
        if failed.open:
            _problems(batch, glance)
    with release:
        if release.open:
            says_when_away(show_releasing)(board.batch, glance)
    with points:
        if points.open:
            says_when_away(show_rescoring)(board)
    with compare:
        if compare.open:
            says_when_away(show_comparing)(board.batch)
    with limits:
        if limits.open:
            show_limits(glance)
    with activity:
        if activity.open:
            says_when_away(_activity)(board.batch)


@st.dialog("Cancel what has not finished?")
@dialog_says_when_away
def _confirm_cancel(batch: Batch) -> None:
    st.write(
        "Finished results are kept, and so is an answer that still arrives. Cancelled submissions can be graded again."
    )
    if st.button("Cancel them", type="primary", key="really cancel"):
        batch.cancel()
        st.rerun()


def _problems(batch: Batch, glance: BatchGlance) -> None:
    if not glance.failures and not glance.flags:
        st.info("No failures and no flags.")
    if glance.failures:
        st.button(
            "Show who has no grade", key="show failed", on_click=_show, args=(batch.name, Choice(show=Show.FAILED)),
            help="Each can be graded by hand.",
        )  # fmt: skip
        retry_form(batch, glance.failures)
    if glance.flags:
        with st.container(border=True, key="flags"):
            st.markdown("**Flagged for review**")
            for kind, count in glance.flags.items():
                st.text(f"{count} {flag_title(kind)}: {flag_advice(kind)}")
            st.button(
                "Show the flagged ones",
                key="show flagged",
                on_click=_show,
                args=(batch.name, Choice(show=Show.FLAGGED)),
            )


def _show(batch: str, choice: Choice) -> None:
    """List these, on the tab of the list."""
    choose(batch, choice)
    st.session_state["tabs"] = STUDENTS_TAB


def _activity(name: str) -> None:
    entries = board_of(client(), name).activity(MOST_ENTRIES)
    if not entries:
        st.info("Nobody decided, released or downloaded anything yet.")
    for entry in entries:
        what = " ".join(filter(None, (ACTIONS.get(entry.action, entry.action), entry.item_id, entry.detail)))
        st.text(f"{moment(entry.at)}  {entry.by}  {what}")
