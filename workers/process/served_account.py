"""What one worker process has of one account: its client, its budget, and the grader that uses them.

The one place that makes a client with an account's key; neither key nor address goes into a log line or the store.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from workers.budget.budget import Budget
from workers.budget.records import Limits, QueuePolicy
from workers.budget.refusals import SharedRefusals
from workers.budget.shared import SharedBudget, connect
from workers.budget.view import known_limits
from workers.budget.warm_parts import SharedWarmParts
from workers.completion.attempt import attempt_completion
from workers.completion.transport.clients import new_client
from workers.contract.errors import ServiceUnavailable
from workers.contract.model_profile import load_profiles
from workers.contract.outcome import AccountState
from workers.grading.grader import Grader
from workers.grading.health import HealthMonitor
from workers.grading.records import Account, Collaborators, Provider
from workers.log import get_logger
from workers.process.steering import own_limits
from workers.publisher import KEY_PREFIX
from workers.store.parks import park_account, resume_account
from workers.store.steering import reopen_rejected
from workers.store.worker_reports import latest_budgets

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sqlalchemy import Connection

    from workers.completion.transport.clients import Client
    from workers.contract.registry import SchemaRegistry
    from workers.grading.decide import Park
    from workers.grading.running_alone import Entrance
    from workers.settings import Settings
    from workers.store import Store
    from workers.store.writer import Writer

logger = get_logger(__name__)

BUDGET_MEMORY_SECONDS = 7 * 86_400.0
"""For so long, the limits that workers last saw save the first call's answer, which may take long to come."""
MISSING_KEY = "no-key"
"""Sent when OPENAI_API_KEY is not set: the provider's refusal parks the account, with its own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAccount:
    """One account that this process serves."""

    name: str
    """As batches name it (see `workers.contract.account`)."""
    settings: Settings
    client: Client
    provider: Provider
    budget: Budget
    refusals: SharedRefusals
    warm_parts: SharedWarmParts
    grader: Grader

    async def close(self) -> None:
        """Flush the budget, release every connection."""
        await self.budget.close()
        await self.refusals.close()
        await self.warm_parts.close()
        await self.client.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What the accounts of one process share."""

    store: Store
    writer: Writer
    registry: SchemaRegistry
    worker_id: str
    serves_interactive: bool
    entrance: Entrance


async def open_account(settings: Settings, process: Process) -> ServedAccount:
    """Everything for the account that these settings speak of. Connections are made when they are first used."""
    name, redis_url = settings.provider, settings.redis_url or ""
    client = _client(settings)
    budget = await asyncio.to_thread(_new_budget, settings, process)
    refusals = SharedRefusals(connect(redis_url), key_prefix=KEY_PREFIX, account=name)
    warm_parts = SharedWarmParts(connect(redis_url), key_prefix=KEY_PREFIX, account=name, worker_id=process.worker_id)
    provider = _provider(settings, client, _health(process.store, name, refusals))
    grader = Grader(
        Collaborators(
            writer=process.writer,
            budget=budget,
            registry=process.registry,
            provider=provider,
            account=Account(
                park=lambda park: asyncio.to_thread(_park, process.store, name, park),
                resume=lambda: asyncio.to_thread(_resume, process.store, name),
            ),
            warm_parts=warm_parts,
        ),
        worker_id=process.worker_id,
        longest_countdown_seconds=settings.longest_countdown_seconds,
        entrance=process.entrance,
    )
    return ServedAccount(
        name=name,
        settings=settings,
        client=client,
        provider=provider,
        budget=budget,
        refusals=refusals,
        warm_parts=warm_parts,
        grader=grader,
    )


def _client(settings: Settings) -> Client:
    return new_client(
        api_key=settings.api_key.get_secret_value() if settings.api_key else MISSING_KEY,
        base_url=settings.base_url,
        timeout_seconds=settings.call_timeout_seconds,
        transport=settings.http_transport,
    )


def _new_budget(settings: Settings, process: Process) -> Budget:
    account = settings.provider
    with process.store.snapshot() as connection:
        seen = latest_budgets(connection, within_seconds=BUDGET_MEMORY_SECONDS)
        own = own_limits(connection, account)
    requests, tokens = settings.minute_limits
    budget = Budget(
        SharedBudget(connect(settings.redis_url or ""), key_prefix=KEY_PREFIX, worker_id=process.worker_id),
        account=account,
        limits=Limits(requests=requests, tokens=tokens),
        known=known_limits(seen, account=account),
        policy=QueuePolicy(held_back_share=0.0 if process.serves_interactive else settings.interactive_share),
        call_timeout_seconds=settings.call_timeout_seconds,
    )
    budget.set_own_limits(own)
    return budget


def _health(store: Store, account: str, refusals: SharedRefusals) -> HealthMonitor:
    def end_refusals() -> Awaitable[None]:
        return asyncio.to_thread(_resume, store, account, AccountState.REFUSING)

    return HealthMonitor(refusals, on_end_of_refusals=end_refusals)


def _provider(settings: Settings, client: Client, health: HealthMonitor) -> Provider:
    profiles, host = load_profiles(settings.model_profiles), settings.provider_host
    return Provider(
        complete=partial(attempt_completion, client),
        profile_of=cache(lambda model: profiles.find(model, host)),
        call_timeout_seconds=settings.call_timeout_seconds,
        health=health,
    )


def _park(store: Store, account: str, park: Park) -> None:
    def park_and_reopen(connection: Connection) -> int:
        park_account(connection, account=account, state=park.account_state, message=park.message)
        return reopen_rejected(connection, park.reopens)

    if reopened := store.run(park_and_reopen):
        logger.info("account.jobs_reopened", account=account, jobs=reopened)


def _resume(store: Store, account: str, state: AccountState | None = None) -> None:
    """A job succeeded: its account may go on. The next one says it again should the store be away."""
    try:
        resumed = store.run(lambda connection: resume_account(connection, account, state=state))
    except ServiceUnavailable as error:
        logger.warning("account.not_resumed", reason=error)
    else:
        if resumed:
            logger.info("account.resumed", account=account)
