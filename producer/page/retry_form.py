"""Another round for what failed, with the parameters that the advice of each failure names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.inputs.moments import span_or_moment
from producer.page.plain_text import plain
from producer.page.spending import show_ending_models
from producer.page.who import may_own
from producer.page.words import UNFOUNDED, failure_advice, failure_title
from producer.terminal.advice import enough_tokens
from producer.terminal.words import counted
from workers.contract.errors import GradequeueError
from workers.contract.flag import FlagKind
from workers.contract.outcome import FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.batch import Batch

MOST_LOOKED_AT = 200
"""Cut-off answers from which the next limit is suggested."""


def retry_form(batch: Batch, failures: Mapping[FailureKind, int]) -> None:
    """The failures by kind with what to do, and for owners the button that opens the next round."""
    with st.container(border=True, key="failures"):
        st.markdown("**Failures**")
        for kind, count in failures.items():
            st.text(f"{count} {failure_title(kind)}: {failure_advice(kind)}")
        is_any_unfounded = FailureKind.INVALID_OUTPUT in failures and _is_any_unfounded(batch)
        if is_any_unfounded:
            st.text(UNFOUNDED)
        if not may_own():
            return
        again = [kind for kind in failures if kind is not FailureKind.NOT_GRADED]
        if not again:
            st.caption("Upload a readable file for them and grade it under the same name.")
            return
        kinds = st.multiselect(
            "Failures to run again", again, default=again, format_func=failure_title, key=f"kinds {sorted(failures)}"
        )
        model, parameters = _other_parameters(batch, kinds, may_take_unfounded=is_any_unfounded)
        show_ending_models(batch.models() if model is None else [model])
        if st.button("Run the failed ones again", icon=":material/replay:", key="retry", disabled=not kinds):
            try:
                count = batch.retry_failed(kinds, model=model, parameters=parameters)
            except GradequeueError as problem:
                st.error(plain(str(problem)))
                return
            st.toast(f"{counted(count, 'submission')} will be graded again")
            st.rerun()


def _is_any_unfounded(batch: Batch) -> bool:
    """Whether a quotation that is not in the work failed an answer."""
    return any(batch.ended_results(failures_only=True, flags=(FlagKind.EVIDENCE_NOT_FOUND,), at_most=1))


def _other_parameters(
    batch: Batch, kinds: Sequence[FailureKind], *, may_take_unfounded: bool
) -> tuple[str | None, dict[str, object]]:
    """The model and parameters of the new round; None and nothing where they stay."""
    with st.expander("With other parameters", expanded=False):
        first, second = st.columns(2)
        model = (first.text_input("Model", placeholder="as before", key="retry model") or "").strip()
        suggested = None
        if FailureKind.TRUNCATED in kinds:
            rows = batch.ended_results(failures_only=True, flags=(), at_most=MOST_LOOKED_AT)
            suggested = enough_tokens(row for row in rows if row.failure_kind is FailureKind.TRUNCATED)
        max_tokens = second.number_input(
            "Longest answer (tokens)", 1, None, suggested, placeholder="as before", key=f"retry tokens {suggested}"
        )
        deadline = (
            first.text_input("Deadline", placeholder="as before; 2h, 1d, or 2026-12-01T08:00", key="retry deadline")
            or ""
        ).strip()
        repair = second.toggle(
            "Let the model correct an invalid answer once", FailureKind.INVALID_OUTPUT in kinds, key="retry repair"
        )
        takes_unfounded = may_take_unfounded and second.toggle(
            "Let answers count that quote what is not there, with a flag", key="retry evidence"
        )
    parameters: dict[str, object] = {}
    if takes_unfounded:
        parameters["evidence"] = None
    if max_tokens:
        parameters["max_tokens"] = int(max_tokens)
    if repair:
        parameters["allow_repair"] = True
    if deadline:
        try:
            parameters |= span_or_moment(deadline)
        except GradequeueError as problem:
            st.error(plain(str(problem)))
    return model or None, parameters
