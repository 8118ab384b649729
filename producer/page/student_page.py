"""One student of a batch: the submission beside the grade, what people decided, the way to the next one.

What a model or a student wrote is drawn as text, never as Markdown; the submission is HTML of ours, with all of theirs
escaped, so that quotations can be marked in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from producer.inputs.courses.roster import known_as
from producer.page.by_hand_form import show_by_hand, takes_grade_by_hand
from producer.page.deciding import show_correction, show_decisions, show_last_word
from producer.page.plain_text import plain
from producer.page.result_view import show_criteria, show_value
from producer.page.services import client
from producer.page.students import STUDENT, choice_of, kept_rubrics, open_student, other_reasons
from producer.page.style import BESIDE, show_work
from producer.page.words import (
    ACTIONS,
    STATES,
    failure_advice,
    failure_title,
    flag_lines,
    points,
    state_title,
    without_passage,
)
from producer.review.by_hand import is_by_hand
from producer.review.glance import most_points_of, reasons_to_read
from producer.review.opening import board_of
from producer.review.submission import marked_html, parts_of, quotes_in
from producer.terminal.words import STANDIN_NOTICE, cost, counted, moment
from workers.contract.decision import CONTEXT_SOURCE, DecisionKind, ReviewState, official_grade
from workers.contract.errors import InvalidInput
from workers.contract.headline import headline
from workers.contract.pictures import Picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.review.glance import Neighbours, OneStudent
    from producer.review.submission import Part, Quote
    from workers.contract.decision import Official


def show(batch: str, item_id: str) -> None:
    """Draw the page of this student."""
    board = board_of(client(), batch)
    st.button("All students", icon=":material/arrow_back:", type="tertiary", key="to list", on_click=_close)
    try:
        found, around = board.student(item_id, choice_of(batch), rubrics=kept_rubrics())
    except InvalidInput:
        st.error("There is no such student, or no such batch.")
        return
    official = official_grade(found.decisions)
    reasons = other_reasons(reasons_to_read(found, official))
    found = replace(found, context=_context_of(found, official))
    _way(batch, around)
    st.header(plain(item_id), anchor=False)
    if known := " · ".join(dict.fromkeys(filter(None, _known(found)))):
        st.text(known)
    show_last_word()
    _standing(found, official)
    result = _shown_result(found, official)
    quotes = quotes_in(result)
    work, grade = st.columns(2, gap="medium")
    with work, st.container(key=BESIDE):
        st.subheader("Submission", anchor=False)
        _submission(found, found.origin.fence, quotes)
    with grade:
        st.subheader("Grade", anchor=False)
        show_decisions(batch, found, official, around)
        _problems(found)
        for reason in reasons:
            st.caption(plain(f"Read with care: {reason}"))
        _grade(found, result, quotes)
        if takes_grade_by_hand(found, result):
            show_by_hand(batch, found, official, result)
        else:
            show_correction(batch, found, official, result)
        _history(found)


def _context_of(found: OneStudent, official: Official) -> Mapping[str, object] | None:
    """The rubric that the grade follows: another one than it was graded by where its points were computed again."""
    source = official.decision.source if official.decision is not None else None
    if source is None or not source.startswith(CONTEXT_SOURCE):
        return found.context
    return client().context(source.removeprefix(CONTEXT_SOURCE)) or found.context


def _known(found: OneStudent) -> list[str]:
    """Name and e-mail address, of those that the course system or the roster says."""
    metadata = known_as(found.row.metadata)
    return [text for key in ("name", "email") if (text := str(metadata.get(key) or "")) != found.row.id]


def _close() -> None:
    st.query_params.pop(STUDENT, None)


def _way(batch: str, around: Neighbours) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Previous", icon=":material/chevron_left:", shortcut="Left", key="previous", on_click=open_student,
            args=(batch, around.previous), disabled=around.previous is None,
        )  # fmt: skip
        st.button(
            "Next", icon=":material/chevron_right:", shortcut="Right", key="next", on_click=open_student,
            args=(batch, around.next), disabled=around.next is None,
        )  # fmt: skip
        st.text(f"{around.number} of {around.total}" if around.number else f"{around.total} left in this list")


def _shown_result(found: OneStudent, official: Official) -> object:
    """The official grade where there is one, else what the model said."""
    return found.row.result if official.result is None else official.result


def _standing(found: OneStudent, official: Official) -> None:
    with st.container(horizontal=True):
        if found.row.is_standin:
            st.badge(STANDIN_NOTICE.capitalize(), color="violet")
        if found.row.failure_kind is not None:
            st.badge(failure_title(found.row.failure_kind), color="red", icon=":material/error:")
        decision = official.decision
        if decision is not None:
            why = f": {decision.reason}" if decision.reason else ""
            state = state_title(official.state, is_by_hand=is_by_hand(official.result))
            st.badge(plain(f"{state} by {decision.by}, {moment(decision.at)}{why}"), color="blue")
            if decision.round < found.row.round:
                st.badge("graded again since", color="orange")
        else:
            st.badge(STATES[ReviewState.UNDECIDED], color="gray")
        if official.released:
            st.badge("changed since release" if official.changed_since_release else "released", color="green")


def _submission(found: OneStudent, fence: str | None, quotes: Sequence[Quote]) -> None:
    if found.prompt is None:
        st.info("The text of this submission was purged.")
        return
    parts = parts_of(found.prompt, fence)
    if not parts:
        st.info("Nothing of this submission could be sent to a model. Look at the original.")
        return
    pages = st.tabs([plain(part.label) for part in parts]) if len(parts) > 1 else [st.container()]
    for page, part in zip(pages, parts, strict=True):
        with page:
            _pieces(part, quotes)


def _pieces(part: Part, quotes: Sequence[Quote]) -> None:
    pictures = sum(isinstance(piece, Picture) for piece in part.pieces)
    number = 0
    for piece in part.pieces:
        if isinstance(piece, str):
            html, _found = marked_html(piece, quotes)
            show_work(html, name="Submission")
            continue
        number += 1
        # within the page's own messages: an address that serves the picture would ask nobody for a password
        st.image(
            piece.url, caption=f"Picture {number} of {pictures}, {piece.width} x {piece.height}",
            alt=f"Picture {number} of {pictures} of the submission, as it was sent to the model",
        )  # fmt: skip


def _problems(found: OneStudent) -> None:
    row, context = found.row, cast("Mapping[str, Any]", found.context or {})
    if row.failure_kind is not None:
        st.error(failure_advice(row.failure_kind, row.flags))
        st.text(row.failure_message or "")
    names = {str(each["criterion_id"]): str(each["name"]) for each in context.get("criteria") or ()}
    for line in flag_lines(row.flags, names):
        st.warning(plain(line), icon=":material/flag:")
    if said := without_passage(row.provenance):
        st.text(said)
    if row.same_as is not None:
        st.text(f"Graded once with {row.same_as}, whose work is the same.")
    if row.is_purged:
        st.text("The texts of this submission were purged; only counts and cost are left.")


def _grade(found: OneStudent, result: object, quotes: Sequence[Quote]) -> None:
    context: Any = found.context or {}
    if found.row.is_purged or result is None:
        return
    said = points(headline(result), schema=found.row.schema, most=most_points_of(context))
    band = result.get("band") if isinstance(result, dict) else None
    if said:
        st.metric("Points", said, str(band) if band else None, delta_color="off", delta_arrow="off")
    if not show_criteria(result, context, quotes):
        show_value(result)
    if is_by_hand(result):
        st.caption("Given by hand: the model gave no grade.")
        return
    st.caption(
        f"{plain(found.row.model_answered or found.row.model)}, round {found.row.round}, "
        f"{counted(found.row.attempts, 'request')}, {cost(found.row.cost_usd, found.row.provider)}"
    )


def _history(found: OneStudent) -> None:
    with st.expander("History", icon=":material/history:"):
        events = [
            (each.finished_at, f"Round {each.number}: {_round_said(each)} ({each.model_answered or 'no answer'})")
            for each in found.rounds
        ]
        for decision in found.decisions:
            number = headline(decision.result)
            to = f" to {number:g}" if number is not None else ""
            why = f": {decision.reason}" if decision.reason else ""
            is_other_batch = decision.source is not None and not decision.source.startswith(CONTEXT_SOURCE)
            source = f" from {decision.source}" if is_other_batch else ""
            is_given = decision.kind is DecisionKind.OVERRIDE and is_by_hand(decision.result)
            did = "graded by hand" if is_given else ACTIONS[decision.kind]
            events.append((decision.at, f"{decision.by} {did}{to}{source}{why}"))
        for at, sentence in sorted(events):
            st.text(f"{moment(at)}  {sentence}")


def _round_said(each: Any) -> str:
    if each.failure_kind is not None:
        return failure_title(each.failure_kind)
    return f"{each.points:g} points" if each.points is not None else "graded"
