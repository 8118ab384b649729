"""The worker's composition root: settings are read here once, and everything is put together.

`celery -A workers.app:app worker --queues bulk.standin` starts one worker process. What lives with the process opens
and closes in `lifespan`, on the pool's loop: store, writer, provider client, heartbeat, feeder.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
import time
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from celery.signals import after_setup_logger, worker_shutting_down

from workers.budget.budget import Budget
from workers.budget.records import Limits
from workers.budget.shared import SharedBudget, connect
from workers.budget.view import BudgetView, known_limits
from workers.channel import use_worker_connections
from workers.completion.attempt import attempt_completion
from workers.completion.clients import new_client
from workers.contract.errors import ServiceUnavailable
from workers.contract.model_profile import load_profiles
from workers.contract.registry import builtin_registry
from workers.feeder import Feeder
from workers.grading import Grader
from workers.heartbeat import Heartbeat
from workers.log_ids import LOG_FORMAT, add_log_ids
from workers.publisher import KEY_PREFIX, Publisher, new_celery
from workers.settings import Settings, load_settings
from workers.stopping import OrderlyStop
from workers.store import Store
from workers.store.claims import release_all
from workers.store.ids import new_id
from workers.store.liveness import latest_budgets, mark_stopped, register_worker
from workers.store.parks import park_account
from workers.store.spool import Spool, take_up
from workers.store.writer import Writer
from workers.tasks import register_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from celery import Celery
    from openai import AsyncOpenAI

    from workers.completion.attempt import Attempt, CompletionRequest
    from workers.contract.model_profile import ModelProfile
    from workers.retry_policy import Park

logger = logging.getLogger(__name__)

START_POLL_SECONDS = 0.5
"""Between two tries of a starting worker to reach the store."""
CHATTY = ("httpx2", "httpcore2", "openai", "celery.worker.strategy")
"""A line for each request and each received message says nothing that the ledger does not."""
BUDGET_MEMORY_SECONDS = 7 * 86_400.0
"""For so long, the limits that workers last saw save the first call's answer, which may take long to come."""
MISSING_KEY = "no-key"
"""Sent when OPENAI_API_KEY is not set: the provider's refusal parks the account, with its own words."""


def build_app(settings: Settings) -> Celery:
    """A Celery application that grades. Raises `ServiceUnavailable` when broker or store are not configured."""
    if settings.redis_url is None or settings.database_url is None:
        raise ServiceUnavailable(
            "broker", "set REDIS_URL and DATABASE_URL, or start workers with `gradequeue worker` or `gradequeue run`"
        )
    app = new_celery(settings.redis_url, socket_seconds=settings.broker_timeout_seconds)
    app.set_current()
    app.conf.update(
        worker_pool="workers.pool:TaskPool",
        worker_consumer="workers.consumer:LossProofConsumer",
        worker_concurrency=settings.concurrency,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_disable_rate_limits=True,
        worker_enable_remote_control=True,
        worker_send_task_events=True,
        # True would cancel paid calls whenever the broker blinks
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=0.0,
        task_acks_late=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        task_reject_on_worker_lost=True,
        task_track_started=False,
        worker_hijack_root_logger=True,
        worker_log_format=LOG_FORMAT,
    )
    use_worker_connections(app)
    app.steps["worker"].add(OrderlyStop)
    after_setup_logger.connect(_add_log_ids, weak=False)
    worker = _Worker(app, settings)
    app.lifespan = worker.lifespan
    register_task(app, lambda: worker.grader)
    return app


class _Worker:
    """What one worker process owns."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._worker_id = new_id()
        self._grader: Grader | None = None

    @property
    def grader(self) -> Grader:
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
        await asyncio.to_thread(self._register, store)
        spool = Spool(settings.data_dir, store, worker_id=self._worker_id)
        writer = Writer(store, worker_id=self._worker_id, loop=loop, spool=spool.keep)
        client = _client(settings)
        budget = await asyncio.to_thread(self._new_budget, store)
        view = BudgetView.connect(settings.redis_url or "", key_prefix=KEY_PREFIX)
        self._grader = grader = self._new_grader(store, writer, client, budget)
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
        )

        def expect_stop(**_signal: object) -> None:
            writer.expect_stop(patience_seconds=settings.store_patience_seconds)
            with suppress(RuntimeError):  # the loop is closed: there is nothing to drain
                loop.call_soon_threadsafe(grader.drain)

        worker_shutting_down.connect(expect_stop, weak=False)
        writer.start()
        heartbeat.start()
        feeder.start()
        _spare_the_collector()
        if settings.exit_with_stdin:
            threading.Thread(target=_exit_with_stdin, name="lifeline", daemon=True).start()
        try:
            yield
        finally:
            await asyncio.gather(  # side by side: a worker that gives its jobs back has two seconds for all of this
                asyncio.to_thread(feeder.stop),
                asyncio.to_thread(writer.stop, patience_seconds=settings.store_patience_seconds),
                asyncio.to_thread(heartbeat.stop),
            )
            await asyncio.to_thread(self._deregister, store)
            await budget.close()
            await client.close()
            view.close()
            publisher.close()
            spool.close()
            store.close()

    def _register(self, store: Store) -> None:
        self._wait_for(store)
        take_up(self._settings.data_dir, store)
        with store.transaction() as connection:
            register_worker(
                connection,
                worker_id=self._worker_id,
                hostname=socket.gethostname(),
                pid=os.getpid(),
                queues=",".join(sorted(self._app.amqp.queues.consume_from)),
            )

    def _wait_for(self, store: Store) -> None:
        """A store that restarts is worth a wait; one that stays away is not."""
        deadline = time.monotonic() + self._settings.store_patience_seconds
        while True:
            try:
                store.migrate()
            except ServiceUnavailable as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("worker.waiting_for_store reason=%s", error)
                time.sleep(START_POLL_SECONDS)
            else:
                return

    def _deregister(self, store: Store) -> None:
        try:
            with store.transaction() as connection:
                release_all(connection, worker_id=self._worker_id)
                mark_stopped(connection, worker_id=self._worker_id)
        except ServiceUnavailable:
            return  # its heartbeat stands still from now on, and the sweeper does the same

    def _new_budget(self, store: Store) -> Budget:
        settings = self._settings
        with store.snapshot() as connection:
            seen = latest_budgets(connection, within_seconds=BUDGET_MEMORY_SECONDS)
        shared = SharedBudget(connect(settings.redis_url or ""), key_prefix=KEY_PREFIX, worker_id=self._worker_id)
        limits = Limits(requests=settings.requests_per_minute, tokens=settings.tokens_per_minute)
        known = known_limits(seen, account=settings.provider)
        return Budget(shared, account=settings.provider, limits=limits, known=known)

    def _new_grader(self, store: Store, writer: Writer, client: AsyncOpenAI, budget: Budget) -> Grader:
        settings = self._settings
        return Grader(
            writer=writer,
            budget=budget,
            registry=builtin_registry(),
            complete=_complete_with(client),
            profile_of=_profiles_for(settings),
            worker_id=self._worker_id,
            park=lambda park: asyncio.to_thread(_park, store, settings.provider, park),
            call_timeout_seconds=settings.call_timeout_seconds,
            longest_countdown_seconds=settings.longest_countdown_seconds,
        )


def _spare_the_collector() -> None:
    """What has been loaded by now stays: the garbage collector need not walk over it again with every few jobs."""
    gc.collect()
    gc.freeze()


def _client(settings: Settings) -> AsyncOpenAI:
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else MISSING_KEY
    return new_client(
        api_key=key,
        base_url=settings.openai_base_url,
        timeout_seconds=settings.call_timeout_seconds,
        transport=settings.http_transport,
    )


def _complete_with(client: AsyncOpenAI) -> Callable[[CompletionRequest], Awaitable[Attempt]]:
    async def complete(request: CompletionRequest) -> Attempt:
        return await attempt_completion(client, request)

    return complete


def _profiles_for(settings: Settings) -> Callable[[str], ModelProfile]:
    profiles, host = load_profiles(settings.model_profiles), settings.provider
    return cache(lambda model: profiles.find(model, host))


def _park(store: Store, account: str, park: Park) -> None:
    with store.transaction() as connection:
        park_account(connection, account=account, state=park.account_state, message=park.message)


def _add_log_ids(logger: logging.Logger, **_signal: object) -> None:
    add_log_ids(logger)


def _exit_with_stdin() -> None:
    """Who started this worker holds the other end of its standard input: when that is gone, stop in order."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _ignore(_handle: object) -> None:
    return None


@cache
def _the_app() -> Celery:
    return build_app(load_settings())


def __getattr__(name: str) -> Any:
    """Celery asks for `workers.app:app`; importing this module alone reads no settings."""
    if name == "app":
        return _the_app()
    raise AttributeError(name)
