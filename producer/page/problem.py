"""What cannot be done, in the page's words: an instructor at the page knows no option of the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import streamlit as st

from workers.contract.errors import ConflictingJob, JobIsRunning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.contract.errors import GradequeueError

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
_FIELDS: Mapping[str, str] = {
    "name": "name of the batch",
    "pilot": "'Grade so many first, then ask'",
    "max-cost": "'Spend at most'",
    "by": "'When do you need the grades?'",
    "deadline": "'When do you need the grades?'",
    "identity": "'Work that names a student'",
    "max-tokens": "'Longest answer'",
}
"""Option of the command line -> the page's field; any other is called as its words are."""


def page_words(problem: GradequeueError) -> str:
    """One sentence without an option of the command line."""
    if isinstance(problem, JobIsRunning):
        return (
            "The work of a student who handed in again is being graded now. Press the button again when it has ended."
        )
    if isinstance(problem, ConflictingJob):
        return (
            "The batch of this name holds other work of a student, or was graded in another way. "
            "Another name of the batch grades this upload by itself."
        )
    return _OPTION.sub(
        lambda found: _FIELDS.get(found[1], f"'{found[1].replace('-', ' ').capitalize()}'"), str(problem)
    )


def say(problem: GradequeueError) -> None:
    """Show why this cannot be graded."""
    st.error("This cannot be graded yet:")
    st.text(page_words(problem))
