"""Who comes in, before everything else: an OIDC login where one is configured, else a name with a password.

Without either the page listens on loopback alone, and the person is who started it. A typed name is taken on trust
among those who share a password; only a login proves one.
"""

from __future__ import annotations

import hmac
from time import sleep
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from producer.page.door import GuessThrottle, admitted
from producer.page.roles import name_of, parse_roles, role_of
from producer.page.services import settings
from producer.page.who import Role, set_person

if TYPE_CHECKING:
    from pydantic import SecretStr

LONGEST_PAUSE_SECONDS = 5.0
"""Of one wrong guess; it keeps a thread of the page."""
LONGEST_NAME = 100
JUST_IN = "just in"
"""Key in the session until the first drawing after the form."""

throttle = GuessThrottle()


def is_in() -> bool:
    """True when this session may see the page; it may upload, too, from then on."""
    if settings().oidc_secrets is not None:
        return _is_signed_in()
    if settings().dashboard_password is None:
        return True
    if not st.session_state.get("is_in"):
        return False
    _admit()
    return True


def _is_signed_in() -> bool:
    if not st.user.is_logged_in:
        return False
    claims = st.user.to_dict()
    role = role_of(claims, parse_roles(settings().roles))
    if role is None:
        return False
    set_person(name_of(claims), role)
    _admit()
    return True


def _admit() -> None:
    context = get_script_run_ctx()
    if context is not None:
        admitted.add(context.session_id)


def ask() -> None:
    """Draw the form; with the right password the page is drawn again, at the address that was asked for."""
    if settings().oidc_secrets is not None:
        _ask_to_sign_in()
        return
    with st.form("login", width=420):
        st.subheader("gradequeue", anchor=False)
        name = st.text_input("Your name", autocomplete="name", max_chars=LONGEST_NAME)
        given = st.text_input("Password", type="password", autocomplete="current-password")
        sent = st.form_submit_button("Enter", type="primary")
    if not sent or settings().dashboard_password is None:
        return
    address = st.context.ip_address
    role = _role_by(given or "")
    if role is not None:
        # looked at first: behind one proxy everybody has one address, and a stranger's guesses must not lock them out
        throttle.succeeded(address)
        if not (name or "").strip():
            st.error("Enter your name: decisions about grades carry it.")
            return
        set_person((name or "").strip(), role)
        st.session_state.is_in = st.session_state[JUST_IN] = True
        st.rerun()
    wait_seconds = throttle.wait_seconds(address)
    throttle.failed(address)
    sleep(min(wait_seconds, LONGEST_PAUSE_SECONDS))
    st.error("Wrong password.")


def _ask_to_sign_in() -> None:
    st.subheader("gradequeue", anchor=False)
    if st.user.is_logged_in:
        st.error("Your login has no access here. Ask the owner of the page for a role.")
        st.text(name_of(st.user.to_dict()))
        st.button("Sign out", on_click=st.logout)
        return
    st.button("Sign in", type="primary", icon=":material/login:", on_click=st.login)


def sign_out() -> None:
    """End the session of this person."""
    if settings().oidc_secrets is not None:
        st.logout()
        return
    st.session_state.clear()


def _role_by(given: str) -> Role | None:
    """The role that the password opens; the highest where two are the same. Every one is compared."""
    passwords: dict[Role, SecretStr | None] = {
        Role.OWNER: settings().dashboard_password,
        Role.GRADER: settings().grader_password,
        Role.VIEWER: settings().viewer_password,
    }
    found = [role for role, each in passwords.items() if each is not None and is_right(given, each.get_secret_value())]
    return found[0] if found else None


def is_right(given: str, password: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), password.encode("utf-8", "surrogatepass"))
