"""The page: `gradequeue dashboard` starts it. Draws, and leaves every decision to the client.

It knows no API key: workers ask the provider, the page speaks to store and broker alone.
"""

from __future__ import annotations

import streamlit as st

from producer.page import batch_list, batch_page, new_batch, student_page
from producer.page.batch_list import BATCH
from producer.page.login import JUST_IN, ask, is_in, sign_out
from producer.page.outage import says_when_away
from producer.page.plain_text import plain
from producer.page.services import settings
from producer.page.students import STUDENT
from producer.page.style import use_style
from producer.page.who import may_own, person, role


def main() -> None:
    """Draw whichever page is asked for."""
    st.set_page_config(page_title="gradequeue", layout="centered")
    use_style()
    # no icons for pages: the browser would fetch each as the tab's icon from another host
    grade = st.Page(new_batch.show, title="Grade", url_path="grade", default=True)
    batches = st.Page(_batches, title="Batches", url_path="batches")
    # before the login, which would otherwise lose the requested address
    page = st.navigation([grade, batches], position="top" if is_in() else "hidden")
    if not is_in():
        ask()
        return
    if st.session_state.pop(JUST_IN, False) and page is grade and not may_own():
        st.switch_page(batches)
    if name := st.session_state.pop("open_batch", None):
        st.switch_page(batches, query_params={BATCH: name})
    says_when_away(page.run)()
    _say_who()


def _batches() -> None:
    name, student = st.query_params.get(BATCH), st.query_params.get(STUDENT)
    if name and student:
        st.set_page_config(layout="wide")
        student_page.show(name, student)
    elif name:
        batch_page.show(name, back=_close)
    else:
        batch_list.show()


def _say_who() -> None:
    st.divider()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{plain(person())}, {role()}")
        if settings().dashboard_password is not None or settings().oidc_secrets is not None:
            st.button("Sign out", type="tertiary", key="sign out", on_click=sign_out)


def _close() -> None:
    st.query_params.clear()
    st.rerun()


main()
