"""Pause and resume a batch, a model, an account or a queue: for the command line and the page alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.batch import Batch
from workers.store.day_caps import resume_days
from workers.store.parks import resume_account
from workers.store.pauses import PauseScope, Target, find_target, lift_pause, pause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from producer.client import JobClient
    from producer.inputs.prices import PriceCheck
    from workers.store import Store


@dataclass(frozen=True, slots=True)
class Steered:
    """What was named, and whether that changed anything: saying it twice does not."""

    target: Target
    has_changed: bool


def pause_target(store: Store, name: str, *, scope: PauseScope | None = None) -> Steered:
    """Let nothing start of the batch, model, account or queue of this name; calls in flight finish.

    Holds in every worker from the moment this returns, until `resume_target`. `scope` says which of them is meant.
    Raises `UnknownTarget` and `AmbiguousTarget`.
    """

    def work(connection: Connection) -> Steered:
        target = find_target(connection, name, scope)
        return Steered(target, pause(connection, target))

    return store.run(work)


def resume_target(
    store: Store,
    name: str,
    *,
    scope: PauseScope | None = None,
    max_cost_usd: float | None = None,
    prices: PriceCheck | None = None,
) -> Steered:
    """Lift its pause, and what else holds it back: a batch's pilot, cap or first failures, an account's park.

    Raises as `pause_target` does, and `InvalidInput` when a batch's spend cap is reached and no higher one is given.
    """
    with store.snapshot() as connection:
        target = find_target(connection, name, scope)
    if target.scope is PauseScope.BATCH:
        return Steered(target, Batch(store, name, prices=prices).resume(max_cost_usd=max_cost_usd))
    return Steered(target, store.run(lambda connection: _lift(connection, target)))


def resume_account_named(client: JobClient, account: str) -> bool:
    """Let a parked account be tried at once, and lift its pause; false where nothing held it back."""
    return client.store.run(lambda connection: _lift(connection, Target(PauseScope.ACCOUNT, account)))


def lift_pauses(client: JobClient, targets: Sequence[Target]) -> None:
    """Lift these pauses and nothing else: what is parked or capped stays so."""

    def work(connection: Connection) -> None:
        for target in targets:
            lift_pause(connection, target)

    client.store.run(work)


def _lift(connection: Connection, target: Target) -> bool:
    has_changed = lift_pause(connection, target)
    if target.scope is PauseScope.ACCOUNT:
        has_changed |= bool(resume_account(connection, target.name))
        has_changed |= bool(resume_days(connection, target.name))
    return has_changed
