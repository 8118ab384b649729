"""A batch beside another grading of the same work: what would change, and making the other's grades official."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.page.drift_view import show_drift
from producer.page.outage import dialog_says_when_away
from producer.page.plain_text import plain
from producer.page.releasing import keep_done, say_done
from producer.page.scatter_form import show_scatter
from producer.page.services import client
from producer.page.who import may_own, person
from producer.review.difference import official_difference
from producer.review.opening import review_of
from producer.terminal.words import counted

if TYPE_CHECKING:
    from producer.review.difference import Move, OfficialDifference

MOST_BATCHES = 200


def show_comparing(name: str) -> None:
    """Choose the other batch; then see, apply, or take back."""
    say_done()
    others = [each for each in client().batches(at_most=MOST_BATCHES) if each.name != name]
    others.sort(key=lambda each: each.origin.regrade_of != name)  # its own regrades first, else the newest
    if not others:
        st.info("There is no other batch. A regrade of this one appears here.")
        show_scatter(name)
        return
    chosen = st.selectbox(
        "Compare with", [each.name for each in others], index=None, placeholder="another grading of the same work",
        key="compare with",
    )  # fmt: skip
    if not chosen:
        return
    moved = official_difference(review_of(client(), name), chosen)
    if not moved.changed and not moved.same:
        st.info("These two batches have no student in common.")
        return
    show_moves(moved, key="moves")
    show_drift(name, chosen)
    if not may_own():
        return
    with st.container(horizontal=True):
        if moved.changed and st.button(
            "Make the new grades official", icon=":material/published_with_changes:", key="apply"
        ):
            _confirm_apply(name, chosen, moved.changed)
        if st.button("Take that back", icon=":material/undo:", key="unapply"):
            _take_back(name, chosen)


def show_moves(moved: OfficialDifference, *, key: str) -> None:
    """How many grades would be others, and the biggest changes."""
    st.text(moved.summary())
    if moved.changed:
        st.dataframe([_line(move) for move in moved.moves], hide_index=True, key=key)
        if moved.changed > len(moved.moves):
            st.caption(f"The {len(moved.moves)} biggest of {moved.changed}.")


def _line(move: Move) -> dict[str, object]:
    return {
        "student": move.item_id,
        "now": move.old,
        "new": move.new,
        "change": f"{move.distance:+g}" if move.distance else "other fields",
    }


@st.dialog("Make these grades official?")
@dialog_says_when_away
def _confirm_apply(name: str, other: str, changed: int) -> None:
    st.write(f"{counted(changed, 'grade')} of {plain(other)} become official here. You can take it back.")
    if st.button("Make them official", type="primary", key="really apply"):
        keep_done(review_of(client(), name).apply(other, by=person()), "made official")
        st.rerun()


def _take_back(name: str, other: str) -> None:
    """Undo the decisions that came from the other batch, and no other."""
    keep_done(review_of(client(), name).undo(None, by=person(), source=other), "restored")
    st.rerun()
