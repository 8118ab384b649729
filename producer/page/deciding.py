"""Deciding about one student: approve, hold, correct, take back. What was decided since one looked is shown first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import streamlit as st

from producer.page.plain_text import plain
from producer.page.services import client
from producer.page.students import open_student
from producer.page.who import may_decide, person
from producer.page.words import ACTIONS
from producer.review.corrections import Correction
from producer.review.opening import ConflictingDecision, review_of
from workers.contract.decision import DecisionKind
from workers.contract.errors import GradequeueError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.review.glance import Neighbours, OneStudent
    from workers.contract.decision import Official

MOST_FIELDS_AT_ONCE = 24
"""A longer form is drawn when it is opened: with sixty criteria it has more elements than all else on the page."""
_SAID = "what the decision did"
"""Key in the session: (is it a problem, sentence), said once on the next drawing."""


def show_last_word() -> None:
    """What the last click did, or why it did nothing."""
    is_problem, sentence = st.session_state.pop(_SAID, (False, ""))
    if sentence and is_problem:
        st.warning(plain(sentence), icon=":material/warning:")
    elif sentence:
        st.toast(plain(sentence))


def show_decisions(batch: str, found: OneStudent, official: Official, around: Neighbours) -> None:
    """The buttons. Each knows what its person has seen: another decision since then is shown before it is replaced."""
    if not may_decide():
        st.caption("You can look; deciding needs the role of a grader.")
        return
    seen = {found.row.id: official.last_id}
    given = (batch, found.row.id, seen, around.next)
    with st.container(horizontal=True):
        st.button(
            "Approve", type="primary", icon=":material/check:", shortcut="Alt+A", key="approve", on_click=_decide,
            args=(DecisionKind.APPROVE, *given), disabled=found.row.result is None,
        )  # fmt: skip
        st.button(
            "Hold", icon=":material/pause:", shortcut="Alt+H", key="hold", on_click=_decide,
            args=(DecisionKind.HOLD, *given),
        )  # fmt: skip
        if official.decision is not None:
            st.button(
                "Take back", icon=":material/undo:", shortcut="Alt+U", key="undo", on_click=_decide,
                args=(DecisionKind.UNDO, *given),
            )  # fmt: skip


def _decide(kind: DecisionKind, batch: str, item_id: str, seen: Mapping[str, int], following: str | None) -> None:
    review = review_of(client(), batch)
    acts = {DecisionKind.APPROVE: review.approve, DecisionKind.HOLD: review.hold, DecisionKind.UNDO: review.undo}
    try:
        done = acts[kind]([item_id], by=person(), seen=seen)
    except GradequeueError as problem:
        _say_problem(problem)
        return
    if done.left_out:
        st.session_state[_SAID] = (True, f"{item_id}: {done.left_out.get(item_id, '')}")
        return
    st.session_state[_SAID] = (False, f"{item_id}: {ACTIONS[kind]}")
    if following is not None and kind is not DecisionKind.UNDO:
        open_student(batch, following)


def _say_problem(problem: GradequeueError) -> None:
    sentence = str(problem)
    if isinstance(problem, ConflictingDecision):
        sentence = f"{sentence}. Nothing was changed: what holds now is shown below."
    st.session_state[_SAID] = (True, sentence)


def show_correction(batch: str, found: OneStudent, official: Official, result: object) -> None:
    """The form that corrects a grade; points, total and band are computed from it."""
    if not may_decide() or not isinstance(result, dict):
        return
    fields = _editable(found, result)
    is_long = len(fields) > MOST_FIELDS_AT_ONCE
    opened = st.expander(
        "Correct this grade", icon=":material/edit:", on_change="rerun" if is_long else "ignore",
        key=f"correct {found.row.id}",
    )  # fmt: skip
    with opened:
        if is_long and not opened.open:
            return
        if not fields:
            st.caption("This kind of result cannot be corrected here.")
            return
        # the newest decision is part of every key: what another person set meanwhile fills the form anew
        prefix = f"fix {found.row.id} {official.last_id} "
        with st.form(f"{prefix}form", border=False):
            for path, value in fields.items():
                _field(prefix, path, value, found.context or {})
            st.text_input("Reason (the student may ask for it)", key=f"{prefix}reason")
            st.form_submit_button(
                "Save the correction", on_click=_correct,
                args=(batch, found.row.id, {found.row.id: official.last_id}, prefix, fields),
            )  # fmt: skip


def _editable(found: OneStudent, result: Mapping[str, Any]) -> dict[str, object]:
    """Path -> value of what a person may change: points and levels of criteria, else what the model said itself."""
    criteria = result.get("criteria")
    if isinstance(criteria, dict):
        paths: dict[str, object] = {}
        for name, criterion in criteria.items():
            if isinstance(criterion, dict) and "max_points" in criterion:
                paths |= {f"criteria.{name}.{field}": criterion[field] for field in ("level",) if field in criterion}
                paths[f"points {name}"] = criterion.get("points")
                paths |= {f"criteria.{name}.{field}": criterion[field] for field in ("feedback",) if field in criterion}
        return paths | {name: result[name] for name in ("overall_feedback",) if name in result}
    try:
        model = client().registry.resolve(found.row.schema, found.context).model
    except GradequeueError:
        return {}
    asked = set(model.model_fields)
    return {name: value for name, value in result.items() if name in asked and _is_simple(value)}


def _is_simple(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str | int | float)


def _field(prefix: str, path: str, value: object, context: Mapping[str, Any]) -> None:
    key = prefix + path
    label = _label(path, context)
    levels = _levels(path, context)
    if path.startswith("points "):
        most = _criterion(path, context).get("max_points")
        number = float(value) if isinstance(value, int | float) else None
        st.number_input(
            label, 0.0, float(most) if most is not None else None, number, step=0.5, key=key, placeholder="not given"
        )
    elif levels:
        st.selectbox(label, levels, index=levels.index(value) if value in levels else None, key=key)
    elif isinstance(value, bool):
        st.toggle(label, value, key=key)
    elif isinstance(value, int):
        st.number_input(label, value=value, step=1, key=key)
    elif isinstance(value, float):
        st.number_input(label, value=value, key=key)
    elif isinstance(value, list):
        st.text_area(f"{label} (one on each line)", "\n".join(value), key=key)
    else:
        st.text_area(label, str(value), key=key)


def _correct(batch: str, item_id: str, seen: Mapping[str, int], prefix: str, before: Mapping[str, object]) -> None:
    fields: dict[str, str] = {}
    points: dict[str, float] = {}
    for path, old in before.items():
        new = st.session_state.get(prefix + path)
        if isinstance(old, list) and isinstance(new, str):
            new = [line.strip() for line in new.splitlines() if line.strip()]
        if new is None or new == old:
            continue
        if path.startswith("points "):
            points[path.removeprefix("points ")] = float(new)
        else:
            fields[path] = new if isinstance(new, str) else json.dumps(new)
    if not fields and not points:
        say_problem("Nothing was changed in the form.")
        return
    reason = str(st.session_state.get(f"{prefix}reason") or "")
    save_correction(
        batch, item_id, Correction(fields=fields, points=points), seen=seen, reason=reason, what="corrected"
    )


def save_correction(
    batch: str, item_id: str, correction: Correction, *, seen: Mapping[str, int], reason: str, what: str
) -> None:
    """Record it, and remember the sentence to be said on the next drawing."""
    if not reason.strip():
        say_problem("It needs a reason. The student may ask for it.")
        return
    try:
        done = review_of(client(), batch).override(item_id, correction, by=person(), reason=reason, seen=seen)
    except GradequeueError as problem:
        _say_problem(problem)
        return
    left_out = done.left_out.get(item_id)
    st.session_state[_SAID] = (True, left_out) if left_out else (False, f"{item_id}: {what}")


def say_problem(sentence: str) -> None:
    """Say on the next drawing why nothing was done."""
    st.session_state[_SAID] = (True, sentence)


def _criterion(path: str, context: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rubric's criterion that a path is about; empty for any other."""
    name = (
        path.removeprefix("points ")
        if path.startswith("points ")
        else path.removeprefix("criteria.").rpartition(".")[0]
    )
    found = (each for each in context.get("criteria") or () if each.get("criterion_id") == name)
    return next(found, {})


def _levels(path: str, context: Mapping[str, Any]) -> list[object]:
    if not path.endswith(".level"):
        return []
    return [level["label"] for level in _criterion(path, context).get("levels") or ()]


def _label(path: str, context: Mapping[str, Any]) -> str:
    """In words without signs that Markdown knows: screen readers read a label as it is written, escapes and all."""
    if path.startswith("points "):
        return plain(f"{_criterion(path, context).get('name', path.removeprefix('points '))}, points")
    if path.startswith("criteria."):
        name, _, field = path.removeprefix("criteria.").rpartition(".")
        return plain(f"{_criterion(path, context).get('name', name)}, {field.replace('_', ' ')}")
    return plain(path.replace("_", " ").capitalize())
