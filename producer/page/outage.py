"""A service that goes away while a page is open: one sentence wherever it is noticed; the page continues later."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

import streamlit as st

from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

AGAIN_SECONDS = 5.0
"""Between two drawings of a page on which a service is missing."""


def says_when_away(draw: Callable[P, None]) -> Callable[P, None]:
    """Draw, or say which service is away and draw the whole page again a little later.

    For fragments too: what leaves one is drawn as a bare error.
    """

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except ServiceUnavailable as error:
            _say(error, "This page continues when it is back; nothing is lost.")
            _draw_again_later()

    return drawn


def dialog_says_when_away(draw: Callable[P, None]) -> Callable[P, None]:
    """The same for a dialog, which stays open: a page that is drawn again would close it."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except ServiceUnavailable as error:
            _say(error, "Try again when it is back; nothing is lost.")

    return drawn


def _say(error: ServiceUnavailable, what_next: str) -> None:
    st.error(f"A service is unavailable ({error.service}). {what_next}")
    st.text(error)


def _draw_again_later() -> None:
    """A drawing that broke off has left nothing on the page that would ask again."""
    is_later = False

    @st.fragment(run_every=AGAIN_SECONDS)
    def again() -> None:
        nonlocal is_later
        if is_later:
            st.rerun()
        is_later = True

    again()
