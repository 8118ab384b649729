"""The form for a grade by hand, where the model gave none: the total, or every criterion of the rubric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from producer.page.deciding import save_correction, say_problem
from producer.page.plain_text import plain
from producer.page.services import client
from producer.page.who import may_decide
from producer.review.by_hand import is_by_hand
from producer.review.corrections import Correction, total_of
from workers.contract.errors import GradequeueError
from workers.contract.headline import DEDUCTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.review.glance import OneStudent
    from workers.contract.decision import Official

_TEXTS = ("overall_feedback", "feedback", "summary")
"""Fields for what the student reads, of which the kind of result has one or none."""


def takes_grade_by_hand(found: OneStudent, result: object) -> bool:
    """Whether there is no grade of the model's to correct."""
    return is_by_hand(result) or (result is None and found.row.failure_kind is not None and not found.row.is_purged)


def show_by_hand(batch: str, found: OneStudent, official: Official, result: object) -> None:
    """The form; filled with the grade by hand that holds, where there is one."""
    if not may_decide():
        return
    criteria: Sequence[Mapping[str, Any]] = _criteria(found)
    with st.expander("Grade by hand", icon=":material/edit:", expanded=result is None):
        try:
            model = client().registry.resolve(found.row.schema, found.context).model
        except GradequeueError as problem:
            st.text(f"This kind of result is not known here: {problem}")
            return
        total, text = total_of(model), next((name for name in _TEXTS if name in model.model_fields), None)
        if total is None:
            st.caption("This kind of result has no points, so no grade can be given here.")
            return
        given: Mapping[str, Any] = result if isinstance(result, dict) else {}
        # the newest decision is part of every key: what another person gave meanwhile fills the form anew
        prefix = f"by hand {found.row.id} {official.last_id} "
        with st.form(f"{prefix}form", border=False):
            if criteria:
                st.caption("A level or points for every criterion; points win. Or the points in total alone.")
            for criterion in criteria:
                _criterion_fields(prefix, criterion, (given.get("criteria") or {}).get(criterion["criterion_id"], {}))
            st.number_input(
                "Points deducted" if total in DEDUCTIONS else "Points in total", 0.0, None,
                None if given.get("criteria") or given.get(total) is None else float(given[total]),
                step=0.5, key=f"{prefix}total", placeholder="not given",
            )  # fmt: skip
            if text is not None:
                st.text_area("What the student reads", str(given.get(text) or ""), key=f"{prefix}text")
            st.text_input("Reason (the student may ask for it)", key=f"{prefix}reason")
            st.form_submit_button(
                "Save the grade", on_click=_save,
                args=(batch, found.row.id, {found.row.id: official.last_id}),
                kwargs={"prefix": prefix, "criteria": criteria, "total": total, "text": text},
            )  # fmt: skip


def _criteria(found: OneStudent) -> list[Mapping[str, Any]]:
    listed = (found.context or {}).get("criteria")
    return [each for each in listed if each.get("enabled", True)] if isinstance(listed, list) else []


def _criterion_fields(prefix: str, criterion: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    name, most = criterion["criterion_id"], float(criterion["max_points"])
    labels = [each["label"] for each in criterion.get("levels") or ()]
    title = plain(str(criterion["name"]))
    left, right = st.columns(2)
    with left:
        if labels and criterion.get("scoring_mode") != "error_count":
            level = given.get("level")
            st.selectbox(
                f"{title}, level", labels, index=labels.index(level) if level in labels else None,
                key=f"{prefix}level {name}", placeholder="not given",
            )  # fmt: skip
    with right:
        is_between = given.get("level") is None
        st.number_input(
            f"{title}, points of {most:g}", 0.0, most, given.get("points") if is_between else None, step=0.5,
            key=f"{prefix}points {name}", placeholder="not given",
        )  # fmt: skip


def _save(
    batch: str,
    item_id: str,
    seen: Mapping[str, int],
    *,
    prefix: str,
    criteria: Sequence[Mapping[str, Any]],
    total: str,
    text: str | None,
) -> None:
    def said(name: str) -> Any:
        return st.session_state.get(f"{prefix}{name}")

    fields, points = {}, {}
    for name in (str(each["criterion_id"]) for each in criteria):
        if (level := said(f"level {name}")) is not None:
            fields[f"criteria.{name}.level"] = str(level)
        if (number := said(f"points {name}")) is not None:
            points[name] = float(number)
    whole = said("total")
    if whole is None and not fields and not points:
        say_problem("No grade was given in the form.")
        return
    if whole is not None:
        fields[total] = repr(float(whole))
    if text is not None:
        fields[text] = str(said("text") or "")
    save_correction(
        batch, item_id, Correction(fields=fields, points=points), seen=seen, reason=str(said("reason") or ""),
        what="graded by hand",
    )  # fmt: skip
