"""`gradequeue run`: enqueue, worker processes, live progress, results, on one machine. Resumable at any point.

    enqueue -> start the workers when there is something to do -> watch -> drain -> results

Ctrl-C drains: what is in flight finishes and is stored, the rest waits in the store for the same command. A second
Ctrl-C gives back what is in flight.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.local.broker_watch import BrokerWatch
from producer.local.data_folder import DataFolder
from producer.local.exit_status import ExitStatus
from producer.local.interrupts import counted_interrupts
from producer.local.processes import WorkerFleet
from producer.terminal.display import ProgressDisplay
from producer.terminal.notices import park_notice
from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from rich.console import Console

    from producer.client import JobClient
    from producer.local.embedded import Services
    from producer.local.interrupts import Interrupts
    from producer.progress import BatchProgress
    from workers.contract.job import JobSpec
    from workers.contract.origin import BatchOrigin
    from workers.settings import Settings

POLL_SECONDS = 0.25
MOST_PROCESSES = 2
"""Where the caller names no number: a note says so on a machine with more cores."""
JOBS_A_PROCESS = 500
"""To start another process takes the processor time of about so many jobs."""
WATCH_SHARE = 10
"""Between two looks at progress passes so many times what a look costs: watching must not slow the work."""


UNSAVED_NOTICE = (
    "a worker ended with paid answers that it could save neither in the store nor on disk; make room, then run the "
    "same command: their jobs are asked again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One batch to grade on this machine."""

    name: str
    specs: Callable[[], Iterable[JobSpec]]
    queue: str
    processes: int | None = None
    """None: as many as its jobs fill, up to `MOST_PROCESSES`."""
    context: Mapping[str, object] | None = None
    origin: BatchOrigin | None = None
    pilot: int | None = None
    """Grade so many jobs, spread over the input, and stop."""
    lets_rest_go: bool = False
    """Grade the rest of the pilot that was made before."""
    max_cost_usd: float | None = None
    weight: float | None = None
    by: datetime | None = None
    """Start no job after this moment."""
    price: str | None = None
    """Whether its jobs may wait for a cheaper lane."""
    notify: tuple[str, ...] = ()
    """Who is notified when it ends or stops."""
    renews: bool = False
    """Grade again who handed in other work since."""
    on_note: Callable[[str], None] = print
    """Called with what of the jobs would be late, as soon as they are enqueued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How the run ended."""

    progress: BatchProgress
    status: ExitStatus
    elapsed_seconds: float
    notice: str = ""


def run_batch(
    request: RunRequest, *, client: JobClient, settings: Settings, services: Services, console: Console
) -> RunReport:
    """Grade a batch to its end, or to the first Ctrl-C. Raises `InvalidInput` and `ServiceUnavailable`."""
    client.check_broker()  # workers would wait for it for ever
    if request.lets_rest_go:
        client.batch(request.name).check_pilot()
    began_at = time.monotonic()
    fleet = WorkerFleet(
        queue=request.queue,
        count=request.processes or MOST_PROCESSES,
        settings=settings,
        services=services,
        log_dir=DataFolder.of(settings.data_dir).logs,
    )
    try:
        client.raise_day_cap()  # its own workers would, but none start for a batch that may not go on
        _enqueue(request, client, settings, fleet)
        batch = client.batch(request.name)
        for notice in batch.day_cap_notices(joining_usd=settings.day_cap_usd):
            console.print(f"note: {notice}", style="yellow", markup=False, highlight=False, soft_wrap=True)
        if request.lets_rest_go:
            batch.resume()
        progress = batch.progress()
        if not progress.is_finished and not fleet.pids and progress.closed is None:
            fleet.start(processes_for(progress.total - progress.finished, request, settings))  # of an earlier run
        with (
            counted_interrupts() as interrupts,
            ProgressDisplay(console) as display,
            BrokerWatch(client.why_broker_waits) as broker,
        ):
            watch = _Watch(request, client, fleet, services, display, interrupts, broker, progress)
            status, notice = watch.until_ended()
    finally:
        fleet.close()
    if fleet.has_unsaved():
        status, notice = ExitStatus.SERVICE_MISSING, UNSAVED_NOTICE
    return RunReport(
        progress=watch.progress_at_end(),
        status=status,
        elapsed_seconds=time.monotonic() - began_at,
        notice=notice,
    )


def processes_for(jobs: int, request: RunRequest, settings: Settings) -> int:
    """So many worker processes as were asked for, else as the jobs keep busy."""
    return request.processes or max(1, math.ceil(jobs / min(JOBS_A_PROCESS, settings.concurrency)))


def _enqueue(request: RunRequest, client: JobClient, settings: Settings, fleet: WorkerFleet) -> None:
    def start_workers_early(new: int, _existing: int) -> None:
        if new:
            fleet.start(processes_for(new, request, settings))

    report = client.enqueue(
        request.specs(),
        name=request.name,
        queue=request.queue,
        context=request.context,
        origin=request.origin,
        on_chunk=start_workers_early,
        pilot=request.pilot,
        max_cost_usd=request.max_cost_usd,
        weight=request.weight,
        by=request.by,
        price=request.price,
        notify=request.notify,
        renews=request.renews,
        names_are_searched=True,
    )
    for outlook in report.outlooks:
        request.on_note(outlook.sentence)


@dataclass(slots=True)
class _Watch:
    request: RunRequest
    client: JobClient
    fleet: WorkerFleet
    services: Services
    display: ProgressDisplay
    interrupts: Interrupts
    broker: BrokerWatch
    progress: BatchProgress
    """As it was last seen."""

    def until_ended(self) -> tuple[ExitStatus, str]:
        """Watch until all is done, nothing more may start, or the user stops it. A store that is away is waited for."""
        while True:
            looked_at = time.monotonic()
            look = self._look()
            if look is not None and look.is_finished:
                self._stop_workers()
                return self._finished(look), ""
            if look is not None and look.park is not None and not look.running:
                self._stop_workers()
                return ExitStatus.JOBS_WAIT, park_notice(look.park)
            if look is not None and look.closed is not None and not look.running:
                self._stop_workers()
                return ExitStatus.JOBS_WAIT, look.closed
            if self.interrupts.count:
                self._stop_workers()
                return self._interrupted()
            if look is not None:  # workers that die of a store that is away are no worse than it
                self.display.show(look, note=self._note(look))
            self.interrupts.wait(max(POLL_SECONDS, WATCH_SHARE * (time.monotonic() - looked_at)))

    def progress_at_end(self) -> BatchProgress:
        """Fresh, or as it was last seen when the store is away."""
        self._look()
        return self.progress

    def _look(self) -> BatchProgress | None:
        """None, and a note in the display, while the store is away."""
        try:
            self.progress = self.client.batch(self.request.name).progress()
        except ServiceUnavailable as error:
            self.display.show(self.progress, note=f"waiting for the store: {error}")
            return None
        return self.progress

    def _note(self, look: BatchProgress) -> str:
        parked = park_notice(look.park) if look.park else ""
        parts = [parked, look.closed, self._restart_dead(), self.broker.trouble, *look.holds]
        return "; ".join(filter(None, parts))

    def _restart_dead(self) -> str:
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
            look = self._look()
            if self.interrupts.count > seen and not abandoned:
                abandoned = True
                self.fleet.abandon()
            if look is not None:
                note = "" if look.is_finished else f"draining: {look.running} in flight; Ctrl-C again gives them up"
                self.display.show(look, note=note)

    def _interrupted(self) -> tuple[ExitStatus, str]:
        look = self._look()
        if look is None:
            return ExitStatus.INTERRUPTED, "Stopped while the store was away. Run the same command to resume."
        if look.is_finished:
            return self._finished(look), ""
        left = look.total - look.finished
        return ExitStatus.INTERRUPTED, f"Stopped; {left} jobs are left. Run the same command to resume."

    @staticmethod
    def _finished(progress: BatchProgress) -> ExitStatus:
        return ExitStatus.SOME_FAILED if progress.failed else ExitStatus.SUCCEEDED
