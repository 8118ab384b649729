"""Who is at the page, and what that person may do: the name that decisions and the audit log carry."""

from __future__ import annotations

import getpass
from enum import StrEnum

import streamlit as st


class Role(StrEnum):
    """Each may do what the ones before it may."""

    VIEWER = "viewer"
    """Sees everything and downloads."""
    GRADER = "grader"
    """Decides about grades."""
    OWNER = "owner"
    """Spends money, releases grades, cancels and runs again."""


_RANK = {Role.VIEWER: 0, Role.GRADER: 1, Role.OWNER: 2}
_NAME, _ROLE = "who", "role"


def set_person(name: str, role: Role) -> None:
    """From now on the session is this person's."""
    st.session_state[_NAME], st.session_state[_ROLE] = name, role


def person() -> str:
    """The name; on one's own machine, without a password, the login name."""
    known: str | None = st.session_state.get(_NAME)
    return known or _login_name()


def role() -> Role:
    """The role; on one's own machine, without a password, the owner's."""
    found: Role = st.session_state.get(_ROLE, Role.OWNER)
    return found


def may_decide() -> bool:
    """Approve, correct, hold, undo."""
    return _RANK[role()] >= _RANK[Role.GRADER]


def may_own() -> bool:
    """Grade, release, apply, cancel, run again."""
    return role() is Role.OWNER


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "owner"
