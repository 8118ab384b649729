"""The page's question about prompts that name a student, and what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.inputs.identity import look_for_names, notes_on_names
from producer.page.plain_text import plain
from workers.contract.identity import IdentityRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.contract.job import JobSpec

_CHOICES = {
    IdentityRule.WARN: "send the name, and flag the result",
    IdentityRule.REPLACE: "send a pseudonym; the result has the name",
    IdentityRule.REFUSE: "leave the work out",
}


def ask_identity() -> IdentityRule:
    """What becomes of a prompt that names a student of this upload."""
    return st.selectbox(
        "Work that names a student", list(_CHOICES), format_func=_CHOICES.__getitem__, key="identity",
        help="Names, numbers and e-mail addresses of everybody in the upload are searched for in every prompt.",
    )  # fmt: skip


def tell_names(specs: Sequence[JobSpec], rule: IdentityRule) -> None:
    """Whose prompts name a student, and what is sent."""
    notes = notes_on_names(look_for_names(specs), rule)
    if not notes:
        return
    if rule is IdentityRule.REPLACE:
        st.caption(plain(notes[0]))
        return
    with st.expander(plain(notes[-1]), icon=":material/badge:"):
        for note in notes[:-1]:
            st.text(note)
