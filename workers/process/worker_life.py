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
from functools import partial
from typing import TYPE_CHECKING, Any

from celery.signals import celeryd_init, worker_shutting_down

from workers.budget.view import BudgetView
from workers.contract.errors import ServiceUnavailable
from workers.contract.job import QueueName
from workers.contract.registry import builtin_registry
from workers.contract.schema_files.trust import SchemaTrust
from workers.contract.wire import broker_queues
from workers.grading.account_graders import AccountGraders
from workers.grading.grader import entrance_of
from workers.log import get_logger, set_up_logs
from workers.process.feeder import Feeder
from workers.process.heartbeat import Heartbeat
from workers.process.lanes_loop import LanesLoop
from workers.process.notifier import Notifier
from workers.process.process_start import exit_with_stdin, spare_the_collector
from workers.process.served_account import Process, open_account
from workers.process.steering import hear
from workers.publisher import KEY_PREFIX, Publisher
from workers.settings.serving import account_caps, served_accounts, unserved_accounts
from workers.store import Store
from workers.store.day_caps import DayCaps, raise_days
from workers.store.liveness import AccountServed, mark_stopped, register_worker
from workers.store.releases import release_all
from workers.store.spool import UNSAVED_EXIT, Spool, take_up
from workers.store.sql import new_id
from workers.store.worker_reports import day_caps_kept
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from celery import Celery

    from workers.process.served_account import ServedAccount
    from workers.settings import Settings

logger = get_logger(__name__)

START_POLL_SECONDS = 0.5
"""Between two tries of a starting worker to reach the store."""
CHATTY = ("httpx2", "httpcore2", "openai", "celery.worker.strategy", "celery.app.trace")
"""A line for each request and message says nothing that the ledger and `job.finished` do not."""


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
        self._served = served_accounts(settings)
        by_account, total_usd = account_caps(settings)
        self._day_caps = DayCaps(by_account=by_account, total_usd=total_usd)
        self._worker_id = settings.worker_id or new_id()
        self._grader: AccountGraders | None = None
        self._controller: Any = None
        celeryd_init.connect(self._meet, weak=False)

    def _meet(self, instance: Any = None, **_signal: object) -> None:
        """Celery's worker, whose exit status says how this process ended."""
        self._controller = instance

    def set_up_logs(self, logger: logging.Logger, **_signal: object) -> None:
        """Celery has given the root logger its handlers."""
        set_up_logs(logger, log_format=self._settings.log_format, worker_id=self._worker_id)

    @property
    def grader(self) -> AccountGraders:
        """The process's graders; `RuntimeError` before the pool has started."""
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
        writer = Writer(store, worker_id=self._worker_id, loop=loop, spool=spool, day_caps=self._day_caps)
        view = BudgetView.connect(settings.redis_url or "", key_prefix=KEY_PREFIX)
        accounts = await self._open_accounts(store, writer)
        self._grader = grader = AccountGraders(
            {each.name: each.grader for each in accounts},
            writer,
            longest_countdown_seconds=settings.longest_countdown_seconds,
        )
        heartbeat = Heartbeat(
            store,
            worker_id=self._worker_id,
            period_seconds=settings.heartbeat_seconds,
            held=lambda: grader.held,
            cancel=lambda job_id: _ignore(loop.call_soon_threadsafe(grader.cancel, job_id)),
            budgets=lambda: view.snapshot(*self._day_caps.by_account),
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
            hear=partial(hear, loop, grader, {each.name: each.budget for each in accounts}),
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
        lanes = [
            LanesLoop.of(each.settings, store, each.grader.collaborators, day_caps=self._day_caps, client=each.client)
            for each in accounts
        ]
        for each in lanes:
            each.start()
        spare_the_collector()
        if settings.exit_with_stdin:
            threading.Thread(target=exit_with_stdin, name="lifeline", daemon=True).start()
        try:
            yield
        finally:
            await asyncio.gather(*(each.stop() for each in lanes))  # their answers are the writer's
            await asyncio.gather(  # side by side: a worker that gives its jobs back has two seconds for all of this
                asyncio.to_thread(feeder.stop),
                asyncio.to_thread(writer.stop, patience_seconds=settings.store_patience_seconds),
                asyncio.to_thread(heartbeat.stop),
            )
            self._say_how_it_ended(writer)
            await asyncio.to_thread(self._deregister, store, spool)
            await asyncio.to_thread(notifier.stop)  # what ended last is sent, too; no claim waits for a receiver
            for account in accounts:
                await account.close()
            view.close()
            publisher.close()
            store.close()

    def _register(self, store: Store, spool: Spool) -> None:
        # while nothing is paid for yet; the command line may say another concurrency than the settings
        spool.reserve(getattr(self._controller, "concurrency", None) or self._settings.concurrency)
        wait_for_store(store, patience_seconds=self._settings.store_patience_seconds)
        take_up(self._settings.data_dir, store)
        first, *others = self._accounts_served(store.id)
        with store.transaction() as connection:
            register_worker(
                connection,
                worker_id=self._worker_id,
                hostname=socket.gethostname(),
                pid=os.getpid(),
                queues=first.queue,
                provider=first.account,
                max_usd_per_day=first.max_usd_per_day,
                others=others,
            )
            raise_days(connection, self._day_caps)
            kept = day_caps_kept(connection)
        for account in self._day_caps.by_account:
            if len(caps := kept.get(account, {})) > 1:
                logger.warning("worker.day_caps_differ", account=account, usd=list(caps))
        for name, missing in unserved_accounts(self._settings).items():
            logger.warning("worker.account_not_served", account=name, reason=missing)

    def _accounts_served(self, store_id: str) -> list[AccountServed]:
        """With the queues that this process consumes of each."""
        consumed = self._app.amqp.queues.consume_from
        return [
            AccountServed(
                account=account,
                queue=",".join(name for name in broker_queues(account, store_id) if name in consumed),
                max_usd_per_day=max_usd,
            )
            for account, max_usd in self._day_caps.by_account.items()
        ]

    async def _open_accounts(self, store: Store, writer: Writer) -> list[ServedAccount]:
        settings = self._settings
        process = Process(
            store=store,
            writer=writer,
            registry=builtin_registry(trusts=SchemaTrust(settings.data_dir, settings.trusted_schemas).allows),
            worker_id=self._worker_id,
            serves_interactive=self._serves_interactive,
            entrance=entrance_of(settings.call_timeout_seconds),
        )
        return [await open_account(each, process) for each in self._served]

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
            return  # its heartbeat stops now, and the sweeper does the same

    @property
    def _serves_interactive(self) -> bool:
        return any(name.startswith(f"{QueueName.INTERACTIVE}.") for name in self._app.amqp.queues.consume_from)


def _ignore(_handle: object) -> None:
    return None
