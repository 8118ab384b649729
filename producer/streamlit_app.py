"""The page: `gradequeue dashboard` starts it. Draws, and leaves every decision to the client.

It knows no API key: workers ask the provider, the page speaks to store and broker alone.
"""

from __future__ import annotations

import streamlit as st

from producer.dashboard import batch_list, batch_page, new_batch
from producer.dashboard.batch_list import BATCH
from producer.dashboard.login import ask, is_in
from producer.dashboard.outage import says_when_away


def main() -> None:
    """Draw whichever page is asked for."""
    st.set_page_config(page_title="gradequeue", layout="centered")
    # no icons for pages: the browser would fetch each as the tab's icon from another host
    grade = st.Page(new_batch.show, title="Grade", url_path="grade", default=True)
    batches = st.Page(_batches, title="Batches", url_path="batches")
    # before the login, which would else lose the address that was asked for
    page = st.navigation([grade, batches], position="top" if is_in() else "hidden")
    if not is_in():
        ask()
        return
    if name := st.session_state.pop("open_batch", None):
        st.switch_page(batches, query_params={BATCH: name})
    says_when_away(page.run)()


def _batches() -> None:
    name = st.query_params.get(BATCH)
    if name:
        batch_page.show(name, back=_close)
    else:
        batch_list.show()


def _close() -> None:
    st.query_params.clear()
    st.rerun()


main()
