"""A password before everything else, when one is set; without one the page listens on loopback alone."""

from __future__ import annotations

import hmac
import threading
import time

import streamlit as st

from producer.dashboard.services import settings

WRONG_PASSWORD_SECONDS = 1.0
_one_guess_at_a_time = threading.Lock()


def is_in() -> bool:
    """True when this session may see the page."""
    return settings().dashboard_password is None or bool(st.session_state.get("is_in"))


def ask() -> None:
    """Draw the form; with the right password the page is drawn again, at the address that was asked for."""
    password = settings().dashboard_password
    with st.form("login", width=420):
        st.subheader("gradequeue", anchor=False)
        given = st.text_input("Password", type="password", autocomplete="current-password")
        sent = st.form_submit_button("Enter", type="primary")
    if sent and password is not None and is_right(given or "", password.get_secret_value()):
        st.session_state.is_in = True
        st.rerun()
    if sent:
        st.error("This is not the password.")


def is_right(given: str, password: str) -> bool:
    """Compare in constant time; a wrong guess holds up every other guess."""
    with _one_guess_at_a_time:
        right = hmac.compare_digest(given.encode(), password.encode())
        if not right:
            time.sleep(WRONG_PASSWORD_SECONDS)
    return right
