"""`python -m ops.bench.ledger --runs N`: is the ledger what the provider bills? The stand-in's invoice is the judge.

Each run grades a batch while worker processes are killed with calls in flight, answers break off, and in some runs the
broker forgets everything or the store crashes. In every second run the provider bills answers that nobody waited for.
Afterwards

    known   every request whose cost the ledger knows is compared with the invoice by its request id
    open    what else was billed has to lie between nothing and the most that those of unknown end can cost
    likely  the ledger's likely sum is compared with the whole invoice, where abandoned answers are billed

Exits 1 when one of the first two does not hold in one run, or the third over all runs by more than a thousandth.
`--runs 1 --jobs 10000 --kills 10` is the long one. On a busy machine the third may fail alone: a worker that is killed
between the commit of a request's row and its sending leaves a request that nobody billed, and nobody can tell.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select

from ops.bench.chaos.services import Cluster
from ops.bench.priced import MODEL, PricedScene
from ops.bench.processes import wait_until
from producer.gradebook.bill import read_bill_of
from workers.contract.errors import ServiceUnavailable
from workers.contract.job import JobParameters, JobSpec
from workers.store.tables import attempts, batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.batch import Batch
    from workers.store.progress import Progress

INSTRUCTIONS = "Grade the program by this rubric. " * 160
"""Long enough to be cached."""
FAULTS = ["reset_body=0.02", "reset_before=0.01", "server_error=0.02", "hang=0.01"]
MOST_OFF = 0.001
"""Goal: the ledger and the invoice differ by no more than this share."""
LONGEST_RUN_SECONDS = 180.0
SECONDS_PER_JOB = 0.5
"""For long runs, on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One batch in the ledger and on the invoice. Costs are US dollars."""

    is_abandoned_billed: bool
    invoice_usd: float
    low_usd: float
    likely_usd: float
    high_usd: float
    known_off_usd: float
    """Sum of the differences of single requests whose cost the ledger knows."""
    unbilled: int
    """Requests whose cost the ledger knows and that are not on the invoice."""
    open: int
    failed: int = 0
    kills: int = 0
    seconds: float = 0.0

    @property
    def is_held(self) -> bool:
        """The interval holds the invoice, but for rounding."""
        slack = 1e-9 * max(1.0, self.invoice_usd)
        return self.low_usd - slack <= self.invoice_usd <= self.high_usd + slack

    @property
    def is_wrong(self) -> bool:
        """The books do not balance."""
        known_off = self.known_off_usd / self.low_usd if self.low_usd else 0.0
        return not self.is_held or known_off > MOST_OFF or bool(self.unbilled) or bool(self.failed) or not self.kills

    def __str__(self) -> str:
        return (
            f"invoice ${self.invoice_usd:.5f}, ledger ${self.low_usd:.5f} to ${self.high_usd:.5f}, "
            f"likely ${self.likely_usd:.5f}; known off by ${self.known_off_usd:.1e}, {self.unbilled} unbilled; "
            f"{self.open} of unknown end, {self.kills} kills, {self.failed} failed, "
            f"{'' if self.is_abandoned_billed else 'abandoned not billed, '}{self.seconds:.0f} s"
            f"{'  WRONG' if self.is_wrong else ''}"
        )


class Bench(PricedScene):
    """Grades while things break."""

    def run(self, number: int, *, jobs: int, kills: int, faults: list[str]) -> Run:
        """Grade one batch to its end, and read the books."""
        began, name, chance = time.monotonic(), f"run-{number}", random.Random(number)  # noqa: S311 - which dies
        is_abandoned_billed = number % 2 == 0
        self.provider.configure(bill_abandoned=is_abandoned_billed, faults=faults)
        billed_before = len(self.provider.invoice(calls=True)["calls"])
        self.client.enqueue((_job(name, job) for job in range(jobs)), name=name)
        batch = self.client.batch(name)
        killed, busy = 0, min(10, jobs // 6)
        for kill in range(kills):
            due = max(3, kill * jobs * 4 // (kills * 5))  # spread over the batch, the last well before its end
            self._wait(batch, partial(_is_busy, least_finished=due, least_running=busy), jobs)
            killed += self._kill(chance)
            if number % 5 == 1 and not kill:
                with self.broker.client() as client:
                    client.flushall()
            if number % 10 == 3 and not kill and self.store_server is not None:  # noqa: PLR2004
                self.store_server.crash()
                self.store_server.start()
        self._wait(batch, lambda progress: progress.is_finished, jobs)
        wait_until(lambda: not self.provider.stats()["in_flight"], "no call is in flight")
        run = self._books(name, billed_before, is_abandoned_billed=is_abandoned_billed)
        return replace(run, failed=batch.progress().failed, kills=killed, seconds=time.monotonic() - began)

    def _wait(self, batch: Batch, is_true: Callable[[Progress], bool], jobs: int) -> None:
        def is_there() -> bool:
            self.workers.restart_dead()
            try:
                return bool(is_true(batch.progress()))
            except ServiceUnavailable:
                return False

        wait_until(is_there, f"{batch.name} goes on", max(LONGEST_RUN_SECONDS, jobs * SECONDS_PER_JOB))

    def _kill(self, chance: random.Random) -> int:
        pids = self.workers.pids
        if not pids:
            return 0
        self.workers.kill(chance.choice(pids))
        return 1

    def _books(self, name: str, billed_before: int, *, is_abandoned_billed: bool) -> Run:
        calls = dict(self.provider.invoice(calls=True)["calls"][billed_before:])
        with self.store.snapshot() as connection:
            rows = connection.execute(
                select(attempts.c.request_id, attempts.c.cost_usd)
                .join(batches, batches.c.id == attempts.c.batch_id)
                .where(batches.c.name == name, attempts.c.cost_usd.is_not(None))
            ).all()
        bill = read_bill_of(self.store, batch=name)
        return Run(
            is_abandoned_billed=is_abandoned_billed,
            invoice_usd=sum(calls.values()),
            low_usd=bill.low_usd,
            likely_usd=bill.likely_usd,
            high_usd=bill.high_usd or 0.0,
            known_off_usd=sum(abs(row.cost_usd - calls.get(row.request_id, 0.0)) for row in rows),
            unbilled=sum(row.request_id not in calls for row in rows),
            open=bill.open,
        )


def _is_busy(progress: Progress, *, least_finished: int, least_running: int) -> bool:
    return progress.finished >= least_finished and progress.running >= least_running


def _job(name: str, number: int) -> JobSpec:
    return JobSpec(
        id=f"{name}-{number}",
        prompt=f"Program {number} of {name}: " + f"print({number})\n" * (1 + number % 40),
        instructions=INSTRUCTIONS + name,
        schema="feedback",
        model=MODEL,
        parameters=JobParameters(
            max_tokens=2_000, max_retries=20, retry_delay_seconds=0.2, effort=("low", "medium")[number % 2]
        ),
    )


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="ops.bench.ledger", description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=60, help="of one run")
    parser.add_argument("--kills", type=int, default=2, help="of one run")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--no-faults", action="store_true", help="workers die; the provider answers everything")
    parser.add_argument("--sqlite", action="store_true")
    options = parser.parse_args()
    with_postgresql = not options.sqlite and Cluster.is_possible()
    faults = [] if options.no_faults else FAULTS
    runs: list[Run] = []
    with Bench.opened(
        options.workers, latency_ms="300-1500", with_postgresql=with_postgresql, GRADEQUEUE_CALL_TIMEOUT="4"
    ) as bench:
        for number in range(options.runs):
            runs.append(bench.run(number, jobs=options.jobs, kills=options.kills, faults=faults))
            print(f"run {number}: {runs[-1]}", flush=True)
    return _report(runs)


def _report(runs: list[Run]) -> int:
    wrong = sum(run.is_wrong for run in runs)
    low_usd = sum(run.low_usd for run in runs)
    known = sum(run.known_off_usd for run in runs) / low_usd
    print(f"{sum(run.is_held for run in runs)} of {len(runs)} invoices within the ledger's interval")
    print(f"known requests differ from the invoice by {known:.6%} in all, {wrong} runs are wrong")
    billed = [run for run in runs if run.is_abandoned_billed]
    invoice_usd = sum(run.invoice_usd for run in billed)
    off = abs(sum(run.likely_usd for run in billed) - invoice_usd) / invoice_usd
    least = abs(sum(run.low_usd for run in billed) - invoice_usd) / invoice_usd
    print(
        f"where abandoned answers are billed: likely sum {off:.3%} off the invoice (at most {MOST_OFF:.1%}); "
        f"without the {sum(run.open for run in billed)} requests of unknown end {least:.3%}"
    )
    return 1 if wrong or off > MOST_OFF else 0


if __name__ == "__main__":
    sys.exit(main())
