from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with, data_dir_option, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer.local.broker_watch import BrokerWatch
    from producer.progress import BatchProgress
    from workers.store import Store

WATCH_PERIOD_SECONDS = 0.5


@command_with("gradequeue status", "gradequeue status week3-1f2e3d4c --watch", "gradequeue status --json")
@click.argument("batch", required=False)
@click.option("--watch", is_flag=True, help="Stay and show progress until the batch is finished.")
@json_option
@data_dir_option
def status(batch: str | None, *, watch: bool, as_json: bool, data_dir: Path | None) -> None:
    """Show the progress of BATCH, or of every batch.

    Also the provider's limits as the workers last saw them, and whatever keeps jobs waiting.
    """
    from producer.cli.session import existing_store_url
    from workers.store.unused_store import is_untouched

    url = existing_store_url(data_dir)
    if batch is None and is_untouched(url):
        _say_there_are_none()
    else:
        _print_store(url, batch, data_dir, watch=watch, as_json=as_json)
    if not as_json:
        _print_broker(data_dir)


def _print_store(url: str, batch: str | None, data_dir: Path | None, *, watch: bool, as_json: bool) -> None:
    from producer.cli.session import prepared_store

    with prepared_store(url) as store:
        if watch and batch:
            _watch(store, batch, data_dir)
        for progress in _wanted(store, batch):
            _print_progress(progress, as_json=as_json)
        if not as_json:
            _print_limits_and_notices(store)


def _watch(store: Store, name: str, data_dir: Path | None) -> None:
    from producer.batch import Batch
    from producer.terminal.console import err
    from producer.terminal.display import ProgressDisplay

    batch = Batch(store, name)
    with ProgressDisplay(err) as display, _broker_watch(data_dir) as broker:
        while not (progress := batch.progress()).is_finished:
            display.show(progress, note=broker.trouble)
            time.sleep(WATCH_PERIOD_SECONDS)


def _wanted(store: Store, name: str | None) -> Iterator[BatchProgress]:
    from producer.batch import Batch
    from producer.progress import progress_of_every

    if name is not None:
        yield Batch(store, name).progress()
        return
    is_empty = True
    for progress in progress_of_every(store):
        is_empty = False
        yield progress
    if is_empty:
        _say_there_are_none()


def _say_there_are_none() -> None:
    from producer.terminal.console import err

    err.print("no batches yet; start with: gradequeue run INPUT")


def _print_progress(progress: BatchProgress, *, as_json: bool) -> None:
    from producer.terminal.console import err, out
    from producer.terminal.gate_notices import cap_line
    from producer.terminal.notices import pause_notices
    from producer.terminal.tables import summary_table

    if as_json:
        click.echo(json.dumps(_progress_object(progress)))
    else:
        out.print(summary_table(progress, cap=cap_line(progress.gate)))
        if progress.closed not in {None, "; ".join(pause_notices(progress.paused))}:  # `status` ends with the pauses
            err.print(progress.closed, style="yellow", soft_wrap=True)


def _progress_object(progress: BatchProgress) -> dict[str, object]:
    return {
        "batch": progress.batch,
        "provider": progress.provider,
        "queue": progress.queue,
        "total": progress.total,
        "waiting": progress.waiting,
        "deferred": progress.deferred,
        "running": progress.running,
        "lanes": [each.as_json() for each in progress.lanes],
        "succeeded": progress.succeeded,
        "failed": progress.failed,
        "failures": {str(kind): count for kind, count in progress.failures.items()},
        "followers": progress.followers,
        "flags": {str(kind): count for kind, count in progress.flags.items()},
        "attempts": dict(progress.attempts),
        "repeated": progress.repeats.repeated,
        "repeated_cost_usd": progress.repeats.repeated_cost_usd,
        "unknown": progress.repeats.unknown,
        "unknown_cost_usd": progress.repeats.unknown_cost_usd,
        "unknown_most_usd": progress.repeats.unknown_most_usd,
        "prompt_tokens": progress.usage.prompt_tokens,
        "completion_tokens": progress.usage.completion_tokens,
        "cost_usd": progress.cost_usd,
        "max_cost_usd": progress.gate.max_usd,
        "weight": progress.gate.weight,
        "pilot": progress.gate.pilot and {"jobs": progress.gate.pilot.jobs, "finished": progress.gate.pilot.finished},
        "closed_by": progress.gate.closed_by and str(progress.gate.closed_by),
        "closed": progress.closed,
        "pauses": [
            {"kind": str(each.target.scope), "name": each.target.name, "since": each.paused_at}
            for each in progress.paused.pauses
        ],
    }


def _print_limits_and_notices(store: Store) -> None:
    from producer.terminal.console import err, out
    from producer.terminal.gate_notices import day_line
    from producer.terminal.notices import (
        RECENT_SECONDS,
        day_cap_notices,
        hold_notices,
        lane_notices,
        limits_line,
        outbox_notices,
        park_notice,
        pause_notice,
    )
    from workers.store.day_caps import read_days
    from workers.store.lanes.times import refused_lanes
    from workers.store.model_limits import read_limits
    from workers.store.outbox import read_outbox
    from workers.store.parks import parked_accounts
    from workers.store.pauses import read_pauses
    from workers.store.worker_reports import day_caps_kept, latest_budgets

    with store.snapshot() as connection:
        caps = day_caps_kept(connection)
        budgets = latest_budgets(connection, within_seconds=RECENT_SECONDS)
        parks = parked_accounts(connection)
        days = read_days(connection)
        pauses = read_pauses(connection)
        limits = read_limits(connection)
        outbox = read_outbox(connection)
        refused = refused_lanes(connection)
    for day in days:
        out.print(day_line(day), soft_wrap=True)
    if budgets:
        from producer.terminal.tables import budgets_table

        out.print(budgets_table(budgets))
    for each in limits:
        out.print(limits_line(each), soft_wrap=True)
    notices = (*map(pause_notice, pauses), *hold_notices(budgets), *map(park_notice, parks), *day_cap_notices(caps))
    for notice in (*notices, *lane_notices(refused), *outbox_notices(outbox)):
        err.print(notice, style="yellow", soft_wrap=True)


def _print_broker(data_dir: Path | None) -> None:
    from producer.terminal.console import err

    with _broker_watch(data_dir) as broker:
        if trouble := broker.first_trouble():
            err.print(trouble, style="yellow")


def _broker_watch(data_dir: Path | None) -> BrokerWatch:
    """Of the broker that workers use now: the configured one, or the embedded one where it runs."""
    from producer.local.broker_watch import BrokerWatch
    from producer.local.embedded import running_broker_url
    from workers.settings import load_settings

    settings = load_settings(data_dir=data_dir)
    url = settings.redis_url or running_broker_url(settings.data_dir)

    if url is None:
        return BrokerWatch(lambda: None)
    from workers.publisher import Publisher

    def why_waiting() -> str | None:
        publisher = Publisher.connect(settings.model_copy(update={"redis_url": url}))
        try:
            return publisher.why_waiting()
        finally:
            publisher.close()

    return BrokerWatch(why_waiting)
