"""A result as it is shown: criteria with levels and points where there are any, else any JSON as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from producer.page.plain_text import plain
from producer.page.tables import LABEL_LENGTH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.review.submission import Quote


def show_criteria(result: object, context: Mapping[str, Any], quotes: Sequence[Quote]) -> bool:
    """Draw a result by a rubric, criterion by criterion; false when it is none."""
    criteria = result.get("criteria") if isinstance(result, dict) else None
    if not isinstance(criteria, dict) or not isinstance(result, dict):
        return False
    if not all(isinstance(each, dict) and "max_points" in each for each in criteria.values()):
        return False
    numbers = {quote.text: quote.number for quote in quotes}
    known = {each["criterion_id"]: each for each in context.get("criteria") or ()}
    by_hand = result.get("points_by_hand") or {}
    for name, criterion in criteria.items():
        with st.container(border=True, gap="xsmall"):
            _criterion(criterion, known.get(name, {"name": name}), numbers, is_by_hand=name in by_hand)
    if overall := result.get("overall_feedback"):
        show_value(overall, "Overall feedback")
    return True


def _criterion(
    criterion: Mapping[str, Any], known: Mapping[str, Any], numbers: Mapping[str, int], *, is_by_hand: bool
) -> None:
    given = criterion.get("points")
    said = "not assessed" if given is None else f"{given:g}"
    by_hand = ", set by hand" if is_by_hand else ""
    st.markdown(f"**{plain(known['name'])}**: {said} of {criterion['max_points']:g}{by_hand}")
    if level := criterion.get("level"):
        labels = [each["label"] for each in known.get("levels") or ()]
        others = f" (of {', '.join(labels)})" if labels else ""
        st.text(f"Level: {level}{others}")
    if why := criterion.get("cannot_assess"):
        st.text(why)
    for error in criterion.get("errors") or ():
        st.text(f"• {error.get('severity', '')}: {error.get('description', '')}{_mark(error.get('evidence'), numbers)}")
    if feedback := criterion.get("feedback"):
        st.text(feedback)
    if evidence := criterion.get("evidence"):
        st.caption("Evidence")
        st.text(f"{evidence}{_mark(evidence, numbers)}")


def _mark(evidence: object, numbers: Mapping[str, int]) -> str:
    number = numbers.get(str(evidence))
    return f" [{number}]" if number is not None else ""


def show_value(value: object, label: str = "") -> None:
    """Any JSON as text: what is short on one line, prose below its name, each object in a box of its own."""
    if isinstance(value, dict):
        _object(value)
    elif isinstance(value, list):
        _list(value, label)
    else:
        if label:
            st.caption(plain(label))
        st.text(_word(value))


def _object(value: dict[str, object]) -> None:
    short = {name: part for name, part in value.items() if _is_short(part)}
    if short:
        st.text("\n".join(f"{_name(name)}: {_word(part)}" for name, part in short.items()))
    for name, part in value.items():
        if isinstance(part, dict):
            with st.container(border=True):
                st.markdown(f"**{plain(_name(name))}**")
                _object(part)
        elif name not in short:
            show_value(part, _name(name))


def _list(value: list[object], label: str) -> None:
    st.caption(plain(label))
    if any(isinstance(part, dict | list) for part in value):
        for part in value:
            with st.container(border=True):
                show_value(part)
        return
    st.text("\n".join(f"• {part}" for part in value) or "none")


def _is_short(value: object) -> bool:
    return not isinstance(value, dict | list) and len(_word(value)) <= LABEL_LENGTH


def _word(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _name(key: object) -> str:
    return str(key).replace("_", " ")
