"""Why jobs wait, in one sentence each: for `status`, `run` and the page. Every other place asks here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.terminal.words import command, cost, counted, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workers.contract.lane import Lane
    from workers.store.model_limits import ModelLimits
    from workers.store.outbox import OutboxState
    from workers.store.parks import ParkedAccount
    from workers.store.pauses import BatchPauses, Pause

RECENT_SECONDS = 60.0
"""What no living worker has seen for so long says nothing about now."""
_HELD_FOR = {
    "away": "the provider does not answer",
    "refused": "the provider refuses calls for now",
}


def park_notice(park: ParkedAccount) -> str:
    """Why an account is parked, since when, and what the operator must do."""
    since, cause = moment(park.parked_at, with_seconds=True), park.message.rstrip(".")
    return f"{park.account} is parked ({park.state}) since {since}: {cause}. {park.state.advice}"


def outbox_notices(outbox: OutboxState) -> list[str]:
    """What of the notifications did not go as it should; nothing while all were sent."""
    if outbox.error is None:
        return []
    count = f"{outbox.waiting} to be sent, {outbox.given_up} given up"
    return [f"notifications: {count}; the last failure: {outbox.error}. Try the settings with: gradequeue doctor"]


def pause_notice(pause: Pause) -> str:
    """What a person paused, since when, and how it goes on."""
    since, target = moment(pause.paused_at, with_seconds=True), pause.target
    return f"{target} is paused since {since}. Resume with: {command('resume', target.name)}"


def pause_notices(paused: BatchPauses) -> tuple[str, ...]:
    """A sentence per pause that holds back a batch."""
    return tuple(map(pause_notice, paused.pauses))


def limits_line(limits: ModelLimits) -> str:
    """What a person allows a model."""
    allowed = {
        "requests/min": limits.requests_per_minute,
        "tokens/min": limits.tokens_per_minute,
        "in flight": limits.calls_in_flight,
    }
    where = f" at {limits.account}" if limits.account else ""
    parts = [f"{value:,} {what}" for what, value in allowed.items() if value is not None]
    return f"{limits.model}{where}: at most {', '.join(parts)} (set here; `gradequeue limits`)"


def day_cap_notices(kept: Mapping[str, Mapping[float | None, int]]) -> list[str]:
    """A sentence per provider whose workers keep different spend caps per day (see `day_caps_kept`)."""
    return [_day_cap_notice(provider, caps) for provider, caps in kept.items() if len(caps) > 1]


def _day_cap_notice(provider: str, caps: Mapping[float | None, int]) -> str:
    each = [
        f"{counted(processes, 'process', 'processes')} {'no cap' if usd is None else cost(usd)}"
        for usd, processes in caps.items()
    ]
    return (
        f"workers of {provider} keep different spend caps per day ({', '.join(each)}): each stops at its own, so "
        "together they may spend more than the lowest. Give all the same GRADEQUEUE_MAX_USD_PER_DAY and restart them"
    )


def hold_notices(budgets: Iterable[Mapping[str, Any]], *, account: str | None = None) -> list[str]:
    """A sentence per model that is held, of one account or of all; `budgets` as the workers wrote them."""
    return [
        _hold_notice(budget)
        for budget in budgets
        if budget.get("held_for") in _HELD_FOR and account in {None, budget.get("account")}
    ]


def _hold_notice(budget: Mapping[str, Any]) -> str:
    since, cause = budget.get("held_since"), budget.get("held_cause")
    what = f"{budget['model']} is held: {_HELD_FOR[budget['held_for']]}"
    when = f", since {moment(since, with_seconds=True)}" if since is not None else ""
    said = f" ({cause})" if cause else ""
    return f"{what}{when}{said}. One request at a time tries again; the others wait."


def lane_notices(refused: Mapping[tuple[str, Lane, str], str]) -> tuple[str, ...]:
    """A sentence for each lane that an account does not offer."""
    return tuple(
        f"{account} offers no {lane} lane{f' for {model}' if model else ''}: {message}; such jobs go another way"
        for (account, lane, model), message in refused.items()
    )
