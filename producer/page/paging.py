"""Lists on a page: one page of rows, with buttons to the one before and the one after."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.review.glance import Page, Place

Each = TypeVar("Each")


def page_at(name: str, choice: object, read: Callable[[Place | None], Page[Each]]) -> Page[Each]:
    """The page of this list that the person turned to; the first for another choice, or where no row is left there.

    `name` is the list's own key in the session.
    """
    of_choice, at = st.session_state.get(name, (choice, None))
    page = read(at if of_choice == choice else None)
    if not page.rows and at is not None:
        at, page = None, read(None)
    st.session_state[name] = (choice, at if of_choice == choice else None)
    return page


def turn_pages(name: str, page: Page[Each]) -> None:
    """Draw the buttons; nothing where the list is no longer than one page."""
    if page.previous is None and page.next is None:
        return
    with st.container(horizontal=True, key=f"turn {name}"):
        for label, place in (("Previous", page.previous), ("Next", page.next)):
            st.button(label, key=f"{label} {name}", disabled=place is None, on_click=_turn, args=(name, place))


def _turn(name: str, place: Place | None) -> None:
    choice, _before = st.session_state[name]
    st.session_state[name] = (choice, place)
