"""`run` and `status` say what they wait for, and go on by themselves when it is back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console

from producer.local.broker_watch import BrokerWatch
from producer.local.embedded import Services
from producer.local.interrupts import Interrupts
from producer.local.processes import WorkerFleet, _Worker
from producer.local.run import ExitStatus, RunRequest, _Watch
from producer.terminal.display import ProgressDisplay
from tests.acceptance.test_run import RUN, made_up_programs
from tests.integration.test_broker_errors import out_of_memory, read_only
from tests.support.wait import DEADLINE_SECONDS, wait_until
from workers.contract.errors import ServiceUnavailable
from workers.settings import load_settings
from workers.store.progress import read_progress
from workers.store.spool import UNSAVED_EXIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ops.bench.chaos.services import Broker
    from tests.support.command_line import Bench
    from workers.store import Store
    from workers.store.progress import Progress

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize(
    ("fault", "words"),
    [(read_only, "waiting for Redis: read-only replica"), (out_of_memory, "waiting for Redis: out of memory")],
)
def test_a_broker_that_refuses_is_named_by_run_and_status_and_outlived(
    fault: Callable[[Broker], AbstractContextManager[None]], words: str, bench: Bench, broker: Broker
):
    made_up_programs(bench.folder, 60)
    bench.environment |= {"REDIS_URL": broker.url, "GRADEQUEUE_BROKER_TIMEOUT": "2"}
    bench.standin.configure(latency_ms="1000-1500")  # the fault must find work left, however late a look is
    said = bench.folder / "stderr.txt"
    with said.open("w") as stderr:
        running = bench.start(*RUN, "--concurrency", "10", stderr=stderr)
    wait_until(lambda: (progress := bench.progress("batch")) and progress.succeeded >= 5, "five jobs are done")
    with fault(broker):
        wait_until(lambda: words in " ".join(said.read_text().split()), "the display says what it waits for")
        assert words in " ".join(bench.run("status", "batch").stderr.split())
        assert running.poll() is None
    running.communicate(timeout=DEADLINE_SECONDS)

    assert running.returncode == 0, said.read_text() + bench.logs()[-3000:]
    assert set(bench.standin.calls_per_prompt().values()) == {1}
    assert "waiting for Redis" not in bench.run("status", "batch").stderr


class Client:
    """A store that is away for a while."""

    def __init__(self, store: Store, away_for: int) -> None:
        self.store = store
        self._away_for = away_for

    def batch(self, _name: str) -> Any:
        return SimpleNamespace(progress=self._progress)

    def _progress(self) -> Progress:
        self._away_for -= 1
        if self._away_for >= 0:
            raise ServiceUnavailable("store", "the store does not answer: no connection")
        with self.store.snapshot() as connection:
            return cast("Progress", read_progress(connection, "b"))


def watch_of(store: Store, *, away_for: int, interrupts: int = 0) -> tuple[_Watch, Console]:
    from tests.store.steps import enqueue

    enqueue(store, 0)
    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
    assert progress is not None
    console = Console(record=True, width=200, file=(Path("/dev/null")).open("w"))  # noqa: SIM115 - lives with the test
    fleet = cast("WorkerFleet", SimpleNamespace(drain=lambda: None, wait=lambda _seconds: True, restart_dead=list))
    request = RunRequest(name="b", specs=list, queue="bulk", processes=1)
    services = Services("redis://h", "sqlite:///s", None)
    asked = Interrupts()
    for _ in range(interrupts):
        asked.add()
    watch = _Watch(
        request, cast("Any", Client(store, away_for)), fleet, services, ProgressDisplay(console),
        asked, BrokerWatch(lambda: None), progress,
    )  # fmt: skip
    return watch, console


def test_a_store_that_is_away_is_waited_for_and_named(store: Store):
    watch, console = watch_of(store, away_for=3)
    status, _notice = watch.until_ended()

    assert status is ExitStatus.SUCCEEDED
    assert "waiting for the store: the store does not answer" in console.export_text()
    cast("Any", console.file).close()


def test_ctrl_c_ends_a_run_whose_store_stays_away(store: Store):
    watch, console = watch_of(store, away_for=1000, interrupts=1)
    status, notice = watch.until_ended()

    assert (status, "while the store was away" in notice) == (ExitStatus.INTERRUPTED, True)
    assert watch.progress_at_end().batch == "b", "as it was last seen"
    cast("Any", console.file).close()


@pytest.mark.parametrize("code", [0, UNSAVED_EXIT])
def test_a_worker_that_ended_with_answers_it_could_not_save_is_remembered(code: int, tmp_path: Path):
    fleet = WorkerFleet(
        queue="bulk",
        count=1,
        settings=load_settings(data_dir=tmp_path),
        services=Services("redis://h", "sqlite:///s", None),
        log_dir=tmp_path,
    )
    process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"], stdin=subprocess.PIPE)
    fleet._workers = [_Worker(process, None)]
    assert fleet.wait(DEADLINE_SECONDS)
    fleet.close()

    assert fleet.has_unsaved() is (code == UNSAVED_EXIT)
