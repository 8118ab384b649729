"""A field that always has one of several values, each under its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def one_of(label: str, words: Mapping[T, str], now: T, *, key: str, width: int) -> T:
    """The chosen value; `now` until another one is chosen."""
    values = list(words)
    chosen: Any = st.selectbox(
        label, values, index=values.index(now), format_func=words.__getitem__, key=key, width=width
    )
    return now if chosen is None else chosen
