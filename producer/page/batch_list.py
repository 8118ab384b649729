"""The page that lists batches, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.page.fields import one_of
from producer.page.outage import says_when_away
from producer.page.paging import page_at, turn_pages
from producer.page.plain_text import plain
from producer.page.services import client
from producer.review.glance import BatchChoice, BatchOrder, WhichBatches
from producer.terminal.words import moment
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from producer.batch import BatchOverview

PER_PAGE = 20
REFRESH_SECONDS = 5.0
BATCH = "batch"
"""Name of the query parameter that says which batch is open: it survives a refresh and a restart of the page."""
ENQUEUED = "enqueued"
"""Key in the session: the batch that was enqueued last, and a sentence on what was new in it."""


_WHICH = {
    WhichBatches.ALL: "All",
    WhichBatches.UNFINISHED: "Not finished",
    WhichBatches.FINISHED: "Finished",
    WhichBatches.WITH_FAILURES: "With failures",
}
_ORDERS = {BatchOrder.NEWEST: "Newest first", BatchOrder.OLDEST: "Oldest first", BatchOrder.NAME: "Name"}
_CHOICE = "choice of batches"
_PLACE = "page of batches"


def show() -> None:
    """Draw the page."""
    st.session_state.pop(ENQUEUED, None)
    st.title("Batches", anchor=False)
    _list(_asked_choice())


def _asked_choice() -> BatchChoice:
    before: BatchChoice = st.session_state.get(_CHOICE, BatchChoice())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        which = one_of("Show", _WHICH, before.which, key="which batches", width=170)
        order = one_of("Order", _ORDERS, before.order, key="order of batches", width=170)
        search = st.text_input("Search for a batch", value=before.search, width=220, key="search batches")
    choice = BatchChoice(which=which, order=order, search=search or "")
    st.session_state[_CHOICE] = choice
    return choice


@st.fragment(run_every=REFRESH_SECONDS)
@says_when_away
def _list(choice: BatchChoice) -> None:
    page = page_at(_PLACE, choice, lambda at: client().page_of_batches(at=at, at_most=PER_PAGE, choice=choice))
    if not page.rows:
        st.info(
            "There are no batches yet. Grade something first." if choice == BatchChoice() else "No batch is like that."
        )
        return
    for overview in page.rows:
        _line(overview)
    turn_pages(_PLACE, page)


def _line(overview: BatchOverview) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(plain(overview.name), type="tertiary", key=f"open {overview.name}"):
                st.query_params[BATCH] = overview.name
                st.rerun()
            if overview.provider == STANDIN_PROVIDER:
                st.badge("stand-in, not real", color="violet")
            if overview.is_finished:
                st.badge("finished", color="green")
            if overview.failed:
                st.badge(f"{overview.failed} failed", color="red")
        finished = overview.succeeded + overview.failed
        if not overview.is_finished:
            st.progress(finished / overview.total if overview.total else 0.0, text="Progress")
        origin = overview.origin.regrade_of
        linked = f", regrades {plain(origin)}" if origin else ""
        st.caption(f"{finished} of {overview.total} done, {moment(overview.created_at)}{linked}")
