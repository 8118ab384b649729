"""Costs on the page: the estimate before the button, pilot and cap, and how a stopped batch is resumed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import streamlit as st

from producer.inputs.ending_models import ending_notices
from producer.page.plain_text import plain
from producer.page.services import payer, payer_client, settings
from producer.page.waiting import GRADE_THE_REST, park_sentence
from producer.page.who import may_own
from producer.review.glance import ClosedBy
from producer.terminal.estimates import cost_interval
from producer.terminal.gate_notices import cap_line, price_of_rest
from producer.terminal.words import cost, counted
from workers.contract.errors import GradequeueError
from workers.contract.lane_choice import PriceWish
from workers.contract.notification import targets_of
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from producer.batch import Batch
    from producer.inputs.estimate import Estimate
    from producer.review.glance import BatchGlance
    from workers.contract.job import JobSpec


@dataclass(frozen=True, slots=True)
class Limits:
    """How many jobs go first, what the batch may cost (None: no limit), its share of the queue, who is notified."""

    pilot: int | None
    max_cost_usd: float | None
    weight: float | None = None
    """Of the batch in its queue; None leaves it as it is, 1 for a new batch."""
    notify: tuple[str, ...] = ()
    """Who is notified when it ends or stops."""
    within_hours: int | None = None
    """The grades may wait so long for a lower price; None: they are wanted at once."""

    @property
    def price(self) -> PriceWish | None:
        """What the batch wishes."""
        return None if self.within_hours is None else PriceWish.LOWEST

    @property
    def by(self) -> datetime | None:
        """After which moment none of its jobs starts."""
        return None if self.within_hours is None else datetime.now(UTC) + timedelta(hours=self.within_hours)


def show_estimate(specs: Sequence[JobSpec], *, context: Mapping[str, object] | None) -> None:
    """What these jobs are likely to cost, and where that comes from; and which of their models end soon."""
    if settings().offline:
        return
    show_ending_models({model for spec in specs for model in (spec.model, spec.parameters.fallback_model) if model})
    for each in payer_client().estimate(specs, context=context):
        st.caption(plain(likely_cost(each)))


def likely_cost(estimate: Estimate) -> str:
    """A sentence on the cost and where it comes from. Pure."""
    if estimate.cost_usd is None:
        return f"What grading with {estimate.model} costs is not known: the model has no price here."
    if estimate.is_first_run:
        source = "Nothing like it was graded here before, so this goes from the shortest answer to the longest allowed."
    else:
        source = f"Judged by {counted(estimate.earlier_answers, 'earlier answer')} of this model to such work."
    return (
        f"Likely cost with {estimate.model}: {cost_interval(estimate)}; at most {cost(estimate.most_cost_usd)}, "
        f"without retries. {source}"
    )


def show_ending_models(models: Iterable[str]) -> None:
    """A warning for each of these models that is shut down or soon will be."""
    for notice in ending_notices(sorted(models), payer()).values():
        st.warning(plain(notice), icon=":material/event_busy:")


def ask_limits(jobs: int) -> Limits:
    """Pilot and cap; the stand-in costs nothing, so there only the pilot is asked."""
    first, second = st.columns(2)
    pilot = first.number_input(
        "Grade so many first, then ask", 0, jobs, 0, key="pilot",
        help="They are spread over the upload. You see their results and the price of the rest before it is graded.",
    )  # fmt: skip
    cap = second.number_input(
        "Spend at most (USD)", 0.0, None, None, key="max cost", placeholder="no limit", disabled=settings().offline,
        help="When this is reached, the other submissions wait; none fails.",
    )  # fmt: skip
    wanted = st.selectbox(
        "When do you need the grades?", list(_WANTED), key="wanted", disabled=settings().offline,
        help="What may wait is asked at a lower price where the provider has one, half of it at best.",
    )  # fmt: skip
    with st.expander("Notifications and priority"):
        first, second = st.columns((3, 1))
        told = first.text_input(
            "Tell when it ends or stops", key="notify", placeholder="mailto:kim@uni.edu, https://hooks.uni.edu/grading",
            help="Addresses separated by commas. Messages hold no text of students.",
        )  # fmt: skip
        weight = second.number_input(
            "Weight", 0.01, 100.0, 1.0, 1.0, key="weight",
            help="Its share of the workers against other batches that wait: 3 gets three times as much as 1.",
        )  # fmt: skip
    return Limits(
        pilot=int(pilot) if pilot else None,
        max_cost_usd=float(cap) if cap else None,
        within_hours=None if settings().offline else _WANTED[wanted],
        weight=float(weight) if weight and weight != 1 else None,
        notify=targets_of([told or ""]),
    )


_WANTED: Mapping[str, int | None] = {
    "As soon as possible": None,
    "Within 8 hours, for less": 8,
    "Within 24 hours, for the lowest price": 24,
}


def grade_label(jobs: int, limits: Limits) -> str:
    """Of the button."""
    if limits.pilot is None or limits.pilot >= jobs:
        return f"Grade {counted(jobs, 'submission')}"
    return f"Grade {limits.pilot} of {jobs} submissions first"


def show_gate(batch: Batch, progress: BatchGlance) -> None:
    """What is spent of the cap; and when the batch waits for a person, the price of the rest and the button."""
    if (spent := cap_line(progress.gate)) is not None:
        st.caption(plain(f"Spend cap: {spent}"))
    is_pilot_over = progress.gate.pilot is not None and progress.gate.pilot.is_over
    if progress.closed is None or not (is_pilot_over or progress.gate.closed_by):
        return
    if not may_own():
        st.caption("Grading the rest needs the role of the owner.")
        return
    with st.container(border=True):
        if progress.provider != STANDIN_PROVIDER or is_pilot_over:
            st.text(price_of_rest(batch.costs(), progress.provider, noun="submission"))
        new_cap = None
        if progress.gate.max_usd is not None:
            new_cap = st.number_input("Spend at most (USD)", 0.0, None, progress.gate.max_usd, key="new cap")
        if st.button(GRADE_THE_REST, type="primary", icon=":material/play_arrow:", key="grade the rest"):
            _resume(batch, progress, new_cap if new_cap != progress.gate.max_usd else None)


def _resume(batch: Batch, progress: BatchGlance, max_cost_usd: float | None) -> None:
    try:
        batch.resume(max_cost_usd=max_cost_usd)
    except GradequeueError as problem:
        if progress.gate.closed_by is ClosedBy.SPEND_CAP:
            st.error(plain(f"The cap must be higher than what is spent or reserved, {cost(progress.gate.held_usd)}."))
            return
        st.error("This does not work yet:")
        st.text(problem)
        return
    st.rerun()


def show_limits(glance: BatchGlance) -> None:
    """The account that pays: whether it is parked, and what its provider lets through a minute."""
    for park in glance.parks:
        st.error(plain(park_sentence(park)), icon=":material/block:")
    for sentence in glance.holds:
        st.warning(plain(sentence))
    st.text(f"Provider: {glance.provider}")
    st.text(f"Workers running: {glance.live_workers}")
    if (spent := cap_line(glance.gate)) is not None:
        st.text(f"Spend cap: {spent}")
    if not glance.budgets:
        st.caption("The provider's limits are known once a worker has sent something in the last minute.")
        return
    for budget in glance.budgets:
        with st.container(border=True):
            st.markdown(f"**{plain(budget.get('model', ''))}**")
            lines = _budget_lines(budget)
            if not lines:
                st.caption("The provider names no limit of this model.")
            for what, left, limit in lines:
                st.text(f"{what} a minute: {left:,.0f} left of {limit:,.0f}")


def _budget_lines(budget: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    found = []
    for what, left, limit in (
        ("Requests", budget.get("requests_left"), budget.get("requests_limit")),
        ("Tokens", budget.get("tokens_left"), budget.get("tokens_limit")),
    ):
        if isinstance(left, int | float) and isinstance(limit, int | float):
            found.append((what, float(left), float(limit)))
    return found
