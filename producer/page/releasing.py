"""Letting students see their grades: the rule, what is ready, release and recall."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import streamlit as st

from producer.page.outage import dialog_says_when_away
from producer.page.plain_text import plain
from producer.page.services import client
from producer.page.who import may_decide, may_own, person
from producer.page.words import RULES, STATES
from producer.review.opening import review_of
from producer.terminal.words import counted
from workers.contract.decision import ReleaseRule, ReviewState
from workers.contract.errors import GradequeueError
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from producer.review.glance import BatchGlance
    from producer.review.recording import Decided

_DONE, _PROBLEM = "what a release did", "why a release did nothing"
MOST_REASONS = 10


def show_releasing(name: str, glance: BatchGlance) -> None:
    """How far the review is, and the buttons."""
    review = review_of(client(), name)
    say_done()
    states = ", ".join(
        f"{count} {STATES[state]}" for state, count in glance.review.states.items() if state != ReviewState.UNDECIDED
    )
    st.text(f"{counted(glance.undecided, 'grade')} not reviewed{', ' if states else ''}{states}")
    changed = f", {glance.review.changed} of them changed since" if glance.review.changed else ""
    st.text(f"{counted(glance.review.released, 'grade')} released to students{changed}")
    if may_decide() and glance.undecided:
        st.button(
            "Approve all that have no flag", icon=":material/done_all:", key="approve unflagged",
            on_click=_approve_unflagged, args=(name,),
            help="Grades that nobody decided about and that carry no flag become official as they are.",
        )  # fmt: skip
    if not may_own():
        st.caption("Releasing needs the role of the owner.")
        return
    rules = list(ReleaseRule)
    rule = st.radio(
        "Students may see a grade when", rules, index=rules.index(glance.rule), format_func=RULES.__getitem__,
        key=f"rule {glance.rule}",
    )  # fmt: skip
    if rule is not glance.rule:
        review.set_rule(rule, by=person())
        st.rerun()
    if glance.provider == STANDIN_PROVIDER:
        st.info("These grades come from the stand-in and are not real. They can be reviewed, and are never released.")
        return
    with st.container(horizontal=True):
        if st.button("Release", type="primary", icon=":material/send:", key="release"):
            _confirm_release(name)
        if glance.review.released and st.button("Take all back", icon=":material/undo:", key="recall"):
            _confirm_recall(name)


@st.dialog("Release grades to students?")
@dialog_says_when_away
def _confirm_release(name: str) -> None:
    st.write("Every grade that the rule allows becomes visible to its student. You can take it back.")
    if st.button("Release them", type="primary", key="really release"):
        review = review_of(client(), name)
        keep_done(review.release(by=person()), "released")
        st.rerun()


@st.dialog("Take all grades back?")
@dialog_says_when_away
def _confirm_recall(name: str) -> None:
    st.write("Students no longer see any grade of this batch. Decisions stay.")
    if st.button("Take them back", type="primary", key="really recall"):
        keep_done(review_of(client(), name).recall(None, by=person()), "taken back")
        st.rerun()


def _approve_unflagged(name: str) -> None:
    try:
        keep_done(review_of(client(), name).approve_unflagged(by=person()), "approved")
    except GradequeueError as problem:
        keep_problem(str(problem))


def keep_done(done: Decided, what: str) -> None:
    """Remember what a call did, to be said when the page is drawn again."""
    st.session_state[_DONE] = (f"{counted(done.changed, 'grade')} {what}", Counter(done.left_out.values()))


def keep_problem(sentence: str) -> None:
    """Remember why a call did nothing."""
    st.session_state[_PROBLEM] = sentence


def say_done() -> None:
    """Say it, once."""
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.warning(plain(problem), icon=":material/warning:")
    sentence, reasons = st.session_state.pop(_DONE, ("", Counter()))
    if not sentence:
        return
    st.success(plain(sentence))
    for reason, count in reasons.most_common(MOST_REASONS):
        st.text(f"{count} left out: {reason}")
