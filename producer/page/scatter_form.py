"""Grading some of a batch again without a change, to measure how far the model scatters by itself: asked, then done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.page.outage import dialog_says_when_away
from producer.page.plain_text import plain
from producer.page.services import client
from producer.page.who import may_own
from producer.regrading.repeats import MOST_REPEATS, repeat, running_repeats
from producer.review.opening import board_of
from producer.terminal.words import cost, counted
from workers.contract.errors import GradequeueError
from workers.contract.job import QueueName

if TYPE_CHECKING:
    from producer.review.glance import BatchGlance

USUAL_SAMPLE, USUAL_REPEATS = 30, 2


def show_scatter(batch: str) -> None:
    """How far a measurement is, or the button that begins one."""
    if running := running_repeats(client(), batch):
        done, total = sum(each.succeeded + each.failed for each in running), sum(each.total for each in running)
        st.info(f"The model's own scatter is being measured: {done} of {total} graded again.")
        return
    if may_own():
        if st.button("Measure the model's own scatter", icon=":material/repeat:", key="measure scatter"):
            _ask(batch)
    else:
        st.caption("Measuring it grades some work again, which needs the role of the owner.")


@st.dialog("Measure the model's own scatter?")
@dialog_says_when_away
def _ask(batch: str) -> None:
    glance = board_of(client(), batch).glance()
    st.write(
        "Some of this work is graded again in the same way. How far the same work is graded apart says how much of a "
        "change is chance. These grades never become official."
    )
    most = max(1, glance.succeeded - glance.followers)
    sample = int(st.number_input("Students, drawn by chance", 1, most, min(USUAL_SAMPLE, most), key="scatter sample"))
    repeats = int(st.number_input("Times each", 1, MOST_REPEATS, USUAL_REPEATS, key="scatter repeats"))
    st.text(f"{counted(sample * repeats, 'grading')}, {_likely_cost(glance, sample * repeats)}")
    if not st.button("Grade them again", type="primary", key="really measure"):
        return
    try:
        repeat(client(), batch, repeats=repeats, sample=sample, queue=QueueName.INTERACTIVE)
    except GradequeueError as problem:
        st.error(plain(str(problem)))
        return
    st.rerun()


def _likely_cost(glance: BatchGlance, gradings: int) -> str:
    """From what a grading of this batch has cost so far."""
    own = max(1, glance.finished - glance.followers)
    if glance.cost_usd is None:
        return "at a cost that is not known: the model has no price here"
    return f"about {cost(glance.cost_usd / own * gradings, glance.provider)}, by what this batch has cost"
