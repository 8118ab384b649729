"""What a person set while workers run, brought to this process once a second by the feeder's thread: pauses, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.budget.records import OwnLimits
from workers.store.model_limits import limits_of_account
from workers.store.pauses import read_paused

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from workers.budget.budget import Budget
    from workers.grading.account_graders import AccountGraders


def hear(
    loop: asyncio.AbstractEventLoop, grader: AccountGraders, budgets: Mapping[str, Budget], connection: Connection
) -> None:
    """Give the loop's budgets, by account, their limits, and the graders what is paused.

    A short query for each account and one more while nothing is set.
    """
    for account, budget in budgets.items():
        loop.call_soon_threadsafe(budget.set_own_limits, own_limits(connection, account))
    paused = read_paused(connection)
    if paused is not None:
        loop.call_soon_threadsafe(grader.evict_paused, paused)


def own_limits(connection: Connection, account: str) -> dict[str, OwnLimits]:
    """Model -> what a person allows it at this account."""
    return {
        model: OwnLimits(
            requests=each.requests_per_minute, tokens=each.tokens_per_minute, in_flight=each.calls_in_flight
        )
        for model, each in limits_of_account(connection, account).items()
    }
