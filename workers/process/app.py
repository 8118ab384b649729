"""The worker's composition root: settings are read here once, and everything is put together.

`workers.process.celery_worker` starts one worker process. What lives with the process opens and closes in `lifespan`,
on the pool's loop: store, writer, provider client, heartbeat, feeder.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from celery.signals import after_setup_logger, celeryd_after_setup

from workers.broker.address import BrokerAddress
from workers.broker.needs import why_waiting
from workers.contract.errors import ServiceUnavailable
from workers.contract.job import QueueName
from workers.contract.wire import broker_queue
from workers.log import LINE_FORMAT
from workers.process.celery_channel import use_worker_connections
from workers.process.celery_stopping import OrderlyStop
from workers.process.tasks import register_task
from workers.process.worker_life import WorkerLife, wait_for_store
from workers.publisher import KEY_PREFIX, new_celery, new_redis, unacked_keys
from workers.settings import Settings, load_settings
from workers.settings.serving import served_accounts
from workers.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celery import Celery


def build_app(settings: Settings) -> Celery:
    """A Celery application that grades. Raises `ServiceUnavailable` when broker or store are not configured."""
    if settings.redis_url is None or settings.database_url is None:
        raise ServiceUnavailable(
            "broker", "set REDIS_URL and DATABASE_URL, or start workers with `gradequeue worker` or `gradequeue run`"
        )
    store_id = _read_store_id(settings)
    app = new_celery(settings.redis_url, socket_seconds=settings.broker_timeout_seconds)
    app.set_current()
    app.conf.update(
        worker_pool="workers.process.celery_pool:TaskPool",
        worker_consumer="workers.process.celery_consumer:LossProofConsumer",
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
        worker_log_format=LINE_FORMAT,
    )
    app.conf.broker_transport_options |= unacked_keys(store_id)
    _name_queues(app, [each.provider for each in served_accounts(settings)], store_id)
    use_worker_connections(app)
    app.why_waiting = _broker_watch(settings)
    app.steps["worker"].add(OrderlyStop)
    worker = WorkerLife(app, settings)
    after_setup_logger.connect(worker.set_up_logs, weak=False)
    app.lifespan = worker.lifespan
    register_task(app, lambda: worker.grader)
    return app


def _name_queues(app: Celery, accounts: Sequence[str], store_id: str) -> None:
    """What `--queues bulk` means: those of these accounts and this store, and of no other."""
    others: dict[str, list[Any]] = {}
    for name in QueueName:
        first, *further = (app.amqp.queues[broker_queue(name, account, store_id)] for account in accounts)
        app.amqp.queues.aliases[str(name)] = first
        others[first.name] = further
    if len(accounts) > 1:
        app.conf.broker_transport_options |= {"queue_order_strategy": "round_robin"}

    def consume_others(instance: Any = None, **_signal: object) -> None:
        """An alias stands for one queue; Celery has chosen that of the first account by now."""
        if instance is not None and instance.app is app:
            for queue in [each for name in app.amqp.queues.consume_from for each in others.get(name, ())]:
                app.amqp.queues.select_add(queue)

    celeryd_after_setup.connect(consume_others, weak=False)


def _read_store_id(settings: Settings) -> str:
    store = Store.open(settings.database_url or "")
    try:
        wait_for_store(store, patience_seconds=settings.store_patience_seconds)
        return store.id
    finally:
        store.close()


def _broker_watch(settings: Settings) -> Callable[[], str | None]:
    """Why the broker cannot be worked with, asked on a new connection each time: it may be another server now."""
    url = settings.redis_url or ""
    address = BrokerAddress.parse(url)

    def look() -> str | None:
        client = new_redis(url, socket_seconds=settings.broker_timeout_seconds)
        try:
            return why_waiting(client, prefix=KEY_PREFIX, database=address.database, user=address.user)
        finally:
            client.connection_pool.disconnect()

    return look


@cache
def _the_app() -> Celery:
    return build_app(load_settings())


def __getattr__(name: str) -> Any:
    """Celery asks for `workers.process.app:app`; importing this module alone reads no settings."""
    if name == "app":
        return _the_app()
    raise AttributeError(name)
