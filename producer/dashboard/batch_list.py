"""The page that lists batches, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.dashboard.outage import says_when_away
from producer.dashboard.queries import batches_on_page, number_of_batches
from producer.dashboard.words import moment, plain
from producer.regrade import REGRADE_OF
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from workers.store.overview import BatchOverview

PER_PAGE = 20
REFRESH_SECONDS = 5.0
BATCH = "batch"
"""Name of the query parameter that says which batch is open: it survives a refresh and a restart of the page."""
ENQUEUED = "enqueued"
"""Key in the session: the batch that was enqueued last, and a sentence on what was new in it."""


def show() -> None:
    """Draw the page."""
    st.session_state.pop(ENQUEUED, None)
    st.title("Batches", anchor=False)
    _list()


@st.fragment(run_every=REFRESH_SECONDS)
@says_when_away
def _list() -> None:
    pages = -(-number_of_batches() // PER_PAGE)
    if not pages:
        st.info("There are no batches yet.")
        return
    page = st.pagination(pages, key="page of batches") if pages > 1 else 1
    for overview in batches_on_page(page, per_page=PER_PAGE):
        _line(overview)


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
            st.progress(finished / overview.total if overview.total else 0.0)
        origin = overview.origin.get(REGRADE_OF)
        linked = f", regrades {plain(origin)}" if origin else ""
        st.caption(f"{finished} of {overview.total} done, {overview.queue}, {moment(overview.created_at)}{linked}")
