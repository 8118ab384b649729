"""Other points, levels or weights: what a batch's grades become, in view before it is decided; no model is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.inputs.kits.kit import Kit
from producer.page.comparing import show_moves
from producer.page.plain_text import plain
from producer.page.releasing import keep_done, keep_problem, say_done
from producer.page.scheme_form import asked_scheme
from producer.page.services import client
from producer.page.who import may_own, person
from producer.review.opening import review_of
from producer.review.rescoring import is_rescored, record_rescoring, rescored
from producer.terminal.words import counted
from workers.contract.errors import GradequeueError, InvalidInput
from workers.contract.schemes.scheme import CATALOGUE_SCHEMA, RUBRIC_SCHEMA

if TYPE_CHECKING:
    from producer.review.glance import Board
    from producer.review.rescoring import Rescoring
    from workers.contract.schemes.scheme import GradingScheme

MOST_REASONS = 10


def show_rescoring(board: Board) -> None:
    """The rubric or list of errors as it was, to be changed or replaced; then the difference, then the button."""
    say_done()
    context = board.context()
    schema = RUBRIC_SCHEMA if "criteria" in context else CATALOGUE_SCHEMA if "error_definitions" in context else None
    if schema is None:
        st.info("These grades follow from no rubric and no list of errors, so there are no points to change.")
        return
    st.caption(
        "Grades can be computed again by other points, levels or weights, from the answers that are there. No model is "
        "asked and nothing is paid."
    )
    try:
        scheme = asked_scheme(schema, Kit(name=board.batch, context=context, options={"schema": schema}))
    except InvalidInput as problem:
        st.error("This cannot be used:")
        st.text(str(problem))
        return
    if scheme is not None and st.toggle("Show what would change", key="show rescoring"):
        _show_difference(board.batch, scheme)
    if may_own():
        st.button(
            "Take new points back", icon=":material/undo:", key="unscore", on_click=_take_back, args=(board.batch,),
            help="Grades that were computed again here become what they were before.",
        )  # fmt: skip


def _show_difference(batch: str, scheme: GradingScheme) -> None:
    review = review_of(client(), batch)
    try:
        found = rescored(review, scheme, registry=client().registry)
    except InvalidInput as problem:
        st.info(plain(str(problem)))
        return
    for note in found.notes:
        st.warning(plain(f"{note[0].upper()}{note[1:]}."))
    moved = found.difference
    show_moves(moved, key="new points")
    for item_id, why in list(found.left_out.items())[:MOST_REASONS]:
        st.text(f"Left out: {item_id}: {why}")
    if len(found.left_out) > MOST_REASONS:
        st.caption(f"{len(found.left_out) - MOST_REASONS} more are left out.")
    if not moved.changed:
        return
    if not may_own():
        st.caption("Making new grades official needs the role of the owner.")
        return
    st.caption(
        f"{counted(len(found.seen), 'grade')} become official, {found.undecided:,} of them not reviewed before. You "
        "can take it back."
    )
    # as a callback, with what is in view: a decision that somebody made since is not overruled
    st.button(
        "Make these grades official", type="primary", icon=":material/published_with_changes:", key="rescore",
        on_click=_apply, args=(batch, found),
    )  # fmt: skip


def _apply(batch: str, found: Rescoring) -> None:
    review = review_of(client(), batch)
    try:
        done = record_rescoring(review, found, registry=client().registry, by=person())
    except GradequeueError as problem:
        keep_problem(f"{problem}. Nothing was changed.")
        return
    keep_done(done, "made official")


def _take_back(batch: str) -> None:
    """Undo what was computed here; a correction that a person made after it stays."""
    review = review_of(client(), batch)
    keep_done(review.undo(None, by=person(), goes_further=True, is_meant=is_rescored), "restored")
