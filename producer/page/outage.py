"""A service that goes away while a page is open: one sentence wherever it is noticed; the page continues later."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

import streamlit as st

from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")


def says_when_away(draw: Callable[P, None]) -> Callable[P, None]:
    """Draw, or say which service is away. For fragments and dialogs too: what leaves one is drawn as a bare error."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except ServiceUnavailable as error:
            st.error(
                f"A service is unavailable ({error.service}). This page continues when it is back; nothing is lost."
            )
            st.text(error)

    return drawn
