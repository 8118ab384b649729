"""`gradequeue run`: enqueue, worker processes, live progress, results, on one machine. Resumable at any point.

    enqueue -> start the workers when there is something to do -> watch -> drain -> results

Ctrl-C drains: what is in flight finishes and is stored, the rest waits in the store for the same command. A second
Ctrl-C gives back what is in flight.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from producer.display import ProgressDisplay, park_notice
from producer.processes import WorkerFleet
from workers.contract.errors import ServiceUnavailable
from workers.store.parks import parked_accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from rich.console import Console

    from producer.client import JobClient
    from producer.embedded import Services
    from workers.contract.job import JobSpec
    from workers.settings import Settings
    from workers.store.parks import Park
    from workers.store.reading import Progress

POLL_SECONDS = 0.25
WATCH_SHARE = 10
"""Between two looks at progress passes so many times what a look costs: watching must not slow the work."""


class ExitStatus(IntEnum):
    """What the command says to a script."""

    SUCCEEDED = 0
    SOME_FAILED = 1
    WRONG_USE = 2
    SERVICE_MISSING = 3
    JOBS_WAIT = 4
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One batch to grade on this machine."""

    name: str
    specs: Callable[[], Iterable[JobSpec]]
    queue: str
    processes: int
    context: Mapping[str, object] | None = None
    origin: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How the run ended."""

    progress: Progress
    status: ExitStatus
    elapsed_seconds: float
    notice: str = ""


def run_batch(
    request: RunRequest, *, client: JobClient, settings: Settings, services: Services, console: Console
) -> RunReport:
    """Grade a batch to its end, or to the first Ctrl-C. Raises `InvalidInput` and `ServiceUnavailable`."""
    client.check_broker()  # workers would wait for it for ever
    began_at = time.monotonic()
    fleet = WorkerFleet(
        queue=request.queue,
        count=request.processes,
        settings=settings,
        services=services,
        log_dir=_log_dir(settings.data_dir),
    )
    try:
        _enqueue(request, client, fleet)
        progress = client.batch(request.name).progress()
        if not progress.is_finished and not fleet.pids:
            fleet.start()  # jobs of an earlier run wait
        with counted_interrupts() as interrupts, ProgressDisplay(console) as display:
            status, notice = _Watch(request, client, fleet, services, display, interrupts).until_ended()
    finally:
        fleet.close()
    return RunReport(
        progress=client.batch(request.name).progress(),
        status=status,
        elapsed_seconds=time.monotonic() - began_at,
        notice=notice,
    )


def _log_dir(data_dir: Path) -> Path:
    return data_dir.expanduser().absolute() / "logs"


def _enqueue(request: RunRequest, client: JobClient, fleet: WorkerFleet) -> None:
    def start_workers_early(new: int, _existing: int) -> None:
        if new and not fleet.pids:
            fleet.start()

    client.enqueue(
        request.specs(),
        name=request.name,
        queue=request.queue,
        context=request.context,
        origin=request.origin,
        on_chunk=start_workers_early,
    )


@dataclass(slots=True)
class Interrupts:
    """How often the user asked to stop."""

    count: int = 0


@contextmanager
def counted_interrupts() -> Iterator[Interrupts]:
    """Ctrl-C and SIGTERM are counted, not raised: the run decides what each of them means."""
    interrupts = Interrupts()

    def count(_number: int, _frame: FrameType | None) -> None:
        interrupts.count += 1

    before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class _Watch:
    request: RunRequest
    client: JobClient
    fleet: WorkerFleet
    services: Services
    display: ProgressDisplay
    interrupts: Interrupts

    def until_ended(self) -> tuple[ExitStatus, str]:
        """Watch until all is done, the account is parked, or the user has had enough."""
        while True:
            looked_at = time.monotonic()
            progress = self.client.batch(self.request.name).progress()
            park = self._park(progress)
            if progress.is_finished:
                self._stop_workers()
                return (ExitStatus.SOME_FAILED if progress.failed else ExitStatus.SUCCEEDED), ""
            if park is not None and not progress.running:
                self._stop_workers()
                return ExitStatus.JOBS_WAIT, park_notice(park)
            if self.interrupts.count:
                self._stop_workers()
                return self._interrupted()
            self.display.show(progress, note=park_notice(park) if park else self._mend())
            time.sleep(max(POLL_SECONDS, WATCH_SHARE * (time.monotonic() - looked_at)))

    def _park(self, progress: Progress) -> Park | None:
        with self.client.store.snapshot() as connection:
            parks = parked_accounts(connection)
        return next((park for park in parks if park.account == progress.provider), None)

    def _mend(self) -> str:
        """Start again what died: a worker, or the embedded broker."""
        broker = self.services.broker
        if broker is not None and broker.restart_if_dead():
            return "the embedded broker had died and was started again"
        codes = self.fleet.restart_dead()
        return f"{len(codes)} worker process(es) had died and were started again" if codes else ""

    def _stop_workers(self) -> None:
        self.fleet.drain()
        abandoned = False
        seen = self.interrupts.count
        while not self.fleet.wait(POLL_SECONDS):
            progress = self.client.batch(self.request.name).progress()
            if self.interrupts.count > seen and not abandoned:
                abandoned = True
                self.fleet.abandon()
            note = "" if progress.is_finished else f"draining: {progress.running} in flight; Ctrl-C again gives them up"
            self.display.show(progress, note=note)

    def _interrupted(self) -> tuple[ExitStatus, str]:
        progress = self.client.batch(self.request.name).progress()
        if progress.is_finished:
            return (ExitStatus.SOME_FAILED if progress.failed else ExitStatus.SUCCEEDED), ""
        left = progress.total - progress.finished
        return ExitStatus.INTERRUPTED, f"stopped: {left} jobs wait; the same command goes on where it stopped"


def exit_status_of(error: Exception) -> ExitStatus:
    """3 when a service is missing, 2 for everything the caller can mend."""
    return ExitStatus.SERVICE_MISSING if isinstance(error, ServiceUnavailable) else ExitStatus.WRONG_USE
