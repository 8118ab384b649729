"""What one worker process owns: store, writer, provider client, budget, heartbeat, feeder; opened and closed in order.

Only `workers.process.app` makes one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from celery.signals import celeryd_init, worker_shutting_down

from workers.budget.budget import Budget
from workers.budget.records import Limits, QueuePolicy
from workers.budget.refusals import SharedRefusals
from workers.budget.shared import SharedBudget, connect
from workers.budget.view import BudgetView, known_limits
from workers.budget.warm_parts import SharedWarmParts
from workers.completion.attempt import attempt_completion
from workers.completion.lanes.door import LaneDoor
from workers.completion.transport.clients import new_client
from workers.contract.errors import ServiceUnavailable
from workers.contract.job import QueueName
from workers.contract.model_profile import load_profiles
from workers.contract.outcome import AccountState
from workers.contract.registry import builtin_registry
from workers.contract.schema_files.trust import SchemaTrust
from workers.grading.grader import Grader
from workers.grading.health import HealthMonitor
from workers.grading.records import Account, Collaborators, Provider
from workers.log import get_logger, set_up_logs
from workers.process.feeder import Feeder
from workers.process.heartbeat import Heartbeat
from workers.process.lanes_loop import LanesLoop
from workers.process.notifier import Notifier
from workers.process.process_start import exit_with_stdin, spare_the_collector
from workers.process.steering import hear, own_limits
from workers.publisher import KEY_PREFIX, Publisher
from workers.store import Store
from workers.store.day_caps import raise_day
from workers.store.liveness import mark_stopped, register_worker
from workers.store.parks import park_account, resume_account
from workers.store.releases import release_all
from workers.store.spool import UNSAVED_EXIT, Spool, take_up
from workers.store.sql import new_id
from workers.store.steering import reopen_rejected
from workers.store.worker_reports import day_caps_kept, latest_budgets
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from celery import Celery
    from sqlalchemy import Connection

    from workers.completion.transport.clients import Client
    from workers.grading.decide import Park
    from workers.settings import Settings

logger = get_logger(__name__)

START_POLL_SECONDS = 0.5
"""Between two tries of a starting worker to reach the store."""
CHATTY = ("httpx2", "httpcore2", "openai", "celery.worker.strategy")
"""A line for each request and each received message says nothing that the ledger does not."""
BUDGET_MEMORY_SECONDS = 7 * 86_400.0
"""For so long, the limits that workers last saw save the first call's answer, which may take long to come."""
MISSING_KEY = "no-key"
"""Sent when OPENAI_API_KEY is not set: the provider's refusal parks the account, with its own words."""


def wait_for_store(store: Store, *, patience_seconds: float) -> None:
    """A store that restarts is worth a wait; one that stays away is not."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            store.prepare()
        except ServiceUnavailable as error:
            if time.monotonic() > deadline:
                raise
            logger.warning("worker.waiting_for_store", reason=error)
            time.sleep(START_POLL_SECONDS)
        else:
            return


class WorkerLife:
    """What one worker process owns."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._worker_id = settings.worker_id or new_id()
        self._grader: Grader | None = None
        self._controller: Any = None
        celeryd_init.connect(self._meet, weak=False)

    def _meet(self, instance: Any = None, **_signal: object) -> None:
        """Celery's worker, whose exit status says how this process ended."""
        self._controller = instance

    def set_up_logs(self, logger: logging.Logger, **_signal: object) -> None:
        """Celery has given the root logger its handlers."""
        set_up_logs(logger, log_format=self._settings.log_format, worker_id=self._worker_id)

    @property
    def grader(self) -> Grader:
        """The process's grader; `RuntimeError` before the pool has started."""
        if self._grader is None:
            raise RuntimeError("no job can run before the pool has started")
        return self._grader

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Open everything in order; close it in reverse, claims first, so that they are free before messages return."""
        settings, loop = self._settings, asyncio.get_running_loop()
        for chatty in CHATTY:
            logging.getLogger(chatty).setLevel(logging.WARNING)
        store = Store.open(settings.database_url or "")
        spool = Spool(settings.data_dir, store, worker_id=self._worker_id)
        await asyncio.to_thread(self._register, store, spool)
        writer = Writer(
            store,
            worker_id=self._worker_id,
            loop=loop,
            spool=spool,
            provider=settings.provider,
            max_usd_per_day=settings.day_cap_usd,
        )
        client = _client(settings)
        budget = await asyncio.to_thread(self._new_budget, store)
        view = BudgetView.connect(settings.redis_url or "", key_prefix=KEY_PREFIX)
        refusals, warm_parts = self._new_refusals(), self._new_warm_parts()
        self._grader = grader = self._new_grader(
            store, writer, client, budget, refusals=refusals, warm_parts=warm_parts
        )
        heartbeat = Heartbeat(
            store,
            worker_id=self._worker_id,
            period_seconds=settings.heartbeat_seconds,
            held=lambda: grader.held,
            cancel=lambda job_id: _ignore(loop.call_soon_threadsafe(grader.cancel, job_id)),
            budgets=lambda: view.snapshot(settings.provider),
        )
        publisher = Publisher.connect(settings)
        feeder = Feeder(
            store,
            publisher,
            holder=self._worker_id,
            period_seconds=settings.feeder_period_seconds,
            dead_after_seconds=settings.dead_after_seconds,
            countdown_grace_seconds=settings.countdown_grace_seconds,
            budgets=view,
            take_up=lambda: take_up(settings.data_dir, store, kept_too=False),
            hear=partial(hear, loop, grader, budget, settings.provider),
            park_probe_seconds=settings.park_probe_seconds,
        )

        def expect_stop(**_signal: object) -> None:
            writer.expect_stop(patience_seconds=settings.store_patience_seconds)
            with suppress(RuntimeError):  # the loop is closed: there is nothing to drain
                loop.call_soon_threadsafe(grader.drain)

        worker_shutting_down.connect(expect_stop, weak=False)
        notifier = Notifier.of(settings, store, holder=self._worker_id)
        writer.start()
        heartbeat.start()
        feeder.start()
        notifier.start()
        lanes = LanesLoop.of(settings, store, grader.collaborators, door=lambda _account: LaneDoor(client))
        lanes.start()
        spare_the_collector()
        if settings.exit_with_stdin:
            threading.Thread(target=exit_with_stdin, name="lifeline", daemon=True).start()
        try:
            yield
        finally:
            await lanes.stop()  # its answers are the writer's
            await asyncio.gather(  # side by side: a worker that gives its jobs back has two seconds for all of this
                asyncio.to_thread(feeder.stop),
                asyncio.to_thread(writer.stop, patience_seconds=settings.store_patience_seconds),
                asyncio.to_thread(heartbeat.stop),
            )
            self._say_how_it_ended(writer)
            await asyncio.to_thread(self._deregister, store, spool)
            await asyncio.to_thread(notifier.stop)  # what ended last is told, too; no claim waits for a receiver
            await budget.close()
            await refusals.close()
            await warm_parts.close()
            await client.close()
            view.close()
            publisher.close()
            store.close()

    def _register(self, store: Store, spool: Spool) -> None:
        # while nothing is paid for yet; the command line may say another concurrency than the settings
        spool.reserve(getattr(self._controller, "concurrency", None) or self._settings.concurrency)
        wait_for_store(store, patience_seconds=self._settings.store_patience_seconds)
        take_up(self._settings.data_dir, store)
        with store.transaction() as connection:
            register_worker(
                connection,
                worker_id=self._worker_id,
                hostname=socket.gethostname(),
                pid=os.getpid(),
                queues=",".join(sorted(queue.name for queue in self._app.amqp.queues.consume_from.values())),
                provider=self._settings.provider,
                max_usd_per_day=self._settings.day_cap_usd,
            )
            raise_day(connection, self._settings.provider, self._settings.day_cap_usd)
            caps = day_caps_kept(connection).get(self._settings.provider, {})
        if len(caps) > 1:
            logger.warning("worker.day_caps_differ", account=self._settings.provider, usd=list(caps))

    def _say_how_it_ended(self, writer: Writer) -> None:
        if writer.unsaved and self._controller is not None:
            self._controller.exitcode = UNSAVED_EXIT

    def _deregister(self, store: Store, spool: Spool) -> None:
        spool.close()
        try:
            take_up(self._settings.data_dir, store, kept_too=False)  # before its claims are freed, and paid for again
            with store.transaction() as connection:
                release_all(connection, worker_id=self._worker_id)
                mark_stopped(connection, worker_id=self._worker_id)
        except ServiceUnavailable:
            return  # its heartbeat stands still from now on, and the sweeper does the same

    def _new_budget(self, store: Store) -> Budget:
        settings = self._settings
        with store.snapshot() as connection:
            seen = latest_budgets(connection, within_seconds=BUDGET_MEMORY_SECONDS)
            own = own_limits(connection, settings.provider)
        shared = SharedBudget(connect(settings.redis_url or ""), key_prefix=KEY_PREFIX, worker_id=self._worker_id)
        limits = Limits(requests=settings.requests_per_minute, tokens=settings.tokens_per_minute)
        known = known_limits(seen, account=settings.provider)
        budget = Budget(
            shared,
            account=settings.provider,
            limits=limits,
            known=known,
            policy=QueuePolicy(held_back_share=0.0 if self._serves_interactive else settings.interactive_share),
            call_timeout_seconds=settings.call_timeout_seconds,
        )
        budget.set_own_limits(own)
        return budget

    @property
    def _serves_interactive(self) -> bool:
        return any(name.startswith(f"{QueueName.INTERACTIVE}.") for name in self._app.amqp.queues.consume_from)

    def _new_refusals(self) -> SharedRefusals:
        settings = self._settings
        client = connect(settings.redis_url or "")
        return SharedRefusals(client, key_prefix=KEY_PREFIX, account=settings.provider)

    def _new_warm_parts(self) -> SharedWarmParts:
        settings = self._settings
        client = connect(settings.redis_url or "")
        return SharedWarmParts(client, key_prefix=KEY_PREFIX, account=settings.provider, worker_id=self._worker_id)

    def _new_grader(
        self,
        store: Store,
        writer: Writer,
        client: Client,
        budget: Budget,
        *,
        refusals: SharedRefusals,
        warm_parts: SharedWarmParts,
    ) -> Grader:
        settings, account = self._settings, self._settings.provider
        health = HealthMonitor(
            refusals, on_end_of_refusals=lambda: asyncio.to_thread(_resume, store, account, AccountState.REFUSING)
        )
        return Grader(
            Collaborators(
                writer=writer,
                budget=budget,
                registry=builtin_registry(trusts=SchemaTrust(settings.data_dir, settings.trusted_schemas).allows),
                provider=_provider(settings, client, health),
                account=Account(
                    park=lambda park: asyncio.to_thread(_park, store, account, park),
                    resume=lambda: asyncio.to_thread(_resume, store, account),
                ),
                warm_parts=warm_parts,
            ),
            worker_id=self._worker_id,
            longest_countdown_seconds=settings.longest_countdown_seconds,
        )


def _client(settings: Settings) -> Client:
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else MISSING_KEY
    return new_client(
        api_key=key,
        base_url=settings.openai_base_url,
        timeout_seconds=settings.call_timeout_seconds,
        transport=settings.http_transport,
    )


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


def _ignore(_handle: object) -> None:
    return None
