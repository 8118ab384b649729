"""Why a batch waits, and what to click: an instructor's words for parked accounts, pauses, caps and rate limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.local.steering import lift_pauses, resume_account_named
from producer.page.services import client
from producer.page.who import may_own
from producer.review.glance import ClosedBy, PauseScope
from producer.terminal.tables import lane_line
from producer.terminal.words import cost, counted, moment
from workers.contract.outcome import AccountState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.review.glance import BatchGlance, DayGate, ParkedAccount, Pause

_PARKED: Mapping[AccountState, tuple[str, str]] = {
    AccountState.QUOTA_EXHAUSTED: ("Its credit or limit is used up", "Once it is raised"),
    AccountState.AUTH_FAILED: (
        "The provider refused its key, which the operator of the workers can correct",
        "Once that is done",
    ),
    AccountState.REFUSING: ("The provider refuses every request", "Once the cause is removed"),
}
TRY_AGAIN, GO_ON, GRADE_THE_REST = "Try the account again", "Continue", "Grade the rest"
"""Names of the buttons that the sentences name."""


def why_it_waits(glance: BatchGlance) -> list[str]:
    """A sentence per reason, the one that stops most first; empty when nothing waits. Pure."""
    lanes = [f"For a lower price: {lane_line(each)}." for each in glance.lanes]
    holds = [*glance.holds, *lanes]
    if not glance.waiting:
        return holds if glance.running else []
    if glance.park is not None:
        return [park_sentence(glance.park)]
    if glance.paused.pauses and glance.paused.is_whole:
        return [pause_sentence(each) for each in glance.paused.pauses]
    if (closed := _closed(glance)) is not None:
        return [closed]
    reasons = [*(pause_sentence(each) for each in glance.paused.pauses), *holds]
    if glance.deferred:
        seconds = max(1, round(glance.next_due_seconds or 0))
        wait = "waits" if glance.deferred == 1 else "wait"
        reasons.append(f"{glance.deferred} {wait} for the provider's limit; the next is sent in {seconds} s.")
    others = glance.waiting - glance.deferred - sum(each.waiting for each in glance.lanes)
    if glance.live_workers and others > 0:
        reasons.append(f"{others} {'waits' if others == 1 else 'wait'} for a free place in a worker.")
    return reasons


def park_sentence(park: ParkedAccount) -> str:
    """Of an account that receives no requests."""
    why, when = _PARKED.get(park.state, ("The provider refuses its requests", "Once the cause is removed"))
    return (
        f"The account {park.account} receives no requests since {moment(park.parked_at)}. {why}. It is tried again by "
        f"itself from time to time. {when}, {_click(TRY_AGAIN)}."
    )


def pause_sentence(pause: Pause) -> str:
    """Of what somebody paused."""
    what = "This batch" if pause.target.scope is PauseScope.BATCH else f"The {pause.target.scope} {pause.target.name}"
    return f"{what} is paused since {moment(pause.paused_at)}. To go on, {_click(GO_ON)}."


def _closed(glance: BatchGlance) -> str | None:
    gate = glance.gate
    match gate.closed_by:
        case ClosedBy.SPEND_CAP:
            return (
                f"The spend cap is reached: {cost(gate.held_usd)} of {cost(gate.max_usd)} are spent or reserved. No "
                f"submission failed because of it. Set a higher cap below, then {_click(GRADE_THE_REST)}."
            )
        case ClosedBy.NO_PRICE:
            return (
                "The spend cap cannot be kept, because the workers know no price of this model. Ask who runs them to "
                f"add it, then {_click(GRADE_THE_REST)}."
            )
        case ClosedBy.SAME_FAILURE:
            return (
                "The first submissions all failed alike, so the rest waits and costs nothing. See Problems for the "
                "cause. Once it is fixed, run them again there; to send the rest all the same, "
                f"{_click(GRADE_THE_REST)}."
            )
        case _:
            pass
    day = next((each for each in glance.days if each.provider == glance.provider and each.closed_at is not None), None)
    if day is not None:
        return _day(day)
    if gate.pilot is not None and gate.pilot.is_over:
        first = counted(gate.pilot.jobs, "submission")
        return (
            f"The pilot of {first} is over; {glance.waiting:,} more wait. Look at the results, then "
            f"{_click(GRADE_THE_REST)}."
        )
    return None


def _day(day: DayGate) -> str:
    return (
        f"What may be spent in one day is spent: {cost(day.held_usd)} of {cost(day.max_usd)}. The rest continues by "
        "itself at 00:00 UTC. The operator of the workers can raise the limit."
    )


def _click(button: str) -> str:
    return f"click '{button}'" if may_own() else f"an owner can click '{button}'"


def show_going_on(glance: BatchGlance) -> None:
    """For owners: the buttons that the sentences name."""
    if not may_own() or not glance.waiting:
        return
    if glance.park is not None and st.button(TRY_AGAIN, icon=":material/refresh:", key="try account"):
        resume_account_named(client(), glance.provider)
        st.rerun()
    if glance.paused.pauses and st.button(GO_ON, icon=":material/play_arrow:", key="go on"):
        lift_pauses(client(), [each.target for each in glance.paused.pauses])
        st.rerun()
