"""`python -m ops.bench.caps --runs N`: does a spend cap hold? The stand-in's invoice is the judge.

Each run grades a batch whose cap lets a part of it through, with worker processes side by side on SQLite, or on
PostgreSQL where it is installed. In every third run a worker is killed, in every third the broker forgets everything.
Exits 1 when an invoice is above its cap or above what was held for it, or when a job failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

from ops.bench.chaos.services import Cluster
from ops.bench.priced import MODEL, PricedScene
from ops.bench.processes import wait_until
from workers.contract.job import JobParameters, JobSpec

MOST_TOKENS = 400
JOBS = 150
CAP_USD = 0.03
"""Of a batch that costs about 0.08; a call holds about 0.0025."""
LONGEST_RUN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Run:
    """One batch at its cap."""

    invoice_usd: float
    held_usd: float
    in_flight: int
    failed: int
    is_closed: bool
    seconds: float


class Bench(PricedScene):
    """Grades to a cap."""

    def run(self, number: int) -> Run:
        """Grade one batch until its cap stops it."""
        began = time.monotonic()
        name = f"run-{number}"
        billed = self.provider.invoice()["usd"]
        specs = (
            JobSpec(
                id=f"{name}-{job}",
                prompt=f"Grade this program of run {number}: print({job})",
                schema="feedback",
                model=MODEL,
                parameters=JobParameters(max_tokens=MOST_TOKENS, temperature=1.0),
            )
            for job in range(JOBS)
        )
        self.client.enqueue(specs, name=name, max_cost_usd=CAP_USD)
        self._disturb(number)
        batch = self.client.batch(name)
        most_in_flight = 0

        def has_stopped() -> bool:
            nonlocal most_in_flight
            self.workers.restart_dead()
            progress = batch.progress()
            most_in_flight = max(most_in_flight, progress.running)
            return progress.closed is not None and not progress.running

        wait_until(has_stopped, f"{name} is stopped by its cap", LONGEST_RUN_SECONDS)
        wait_until(lambda: not self.provider.stats()["in_flight"], "no call is in flight")
        progress = batch.progress()
        return Run(
            invoice_usd=self.provider.invoice()["usd"] - billed,
            held_usd=progress.gate.held_usd,
            in_flight=most_in_flight,
            failed=progress.failed,
            is_closed=progress.closed is not None,
            seconds=time.monotonic() - began,
        )

    def _disturb(self, number: int) -> None:
        if number % 3 == 0:
            return
        time.sleep(0.5)
        if number % 3 == 1:
            self.workers.kill(self.workers.pids[number % len(self.workers.pids)])
        else:
            with self.broker.client() as client:
                client.flushall()


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="ops.bench.caps", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--sqlite", action="store_true")
    options = parser.parse_args()
    wrong = 0
    with_postgresql = not options.sqlite and Cluster.is_possible()
    with Bench.opened(options.workers, latency_ms="300-1500", with_postgresql=with_postgresql) as bench:
        for number in range(options.runs):
            run = bench.run(number)
            is_wrong = run.invoice_usd > CAP_USD or run.invoice_usd > run.held_usd + 1e-9 or bool(run.failed)
            wrong += is_wrong
            print(
                f"run {number}: invoice ${run.invoice_usd:.4f}, held ${run.held_usd:.4f}, cap ${CAP_USD:.4f}, "
                f"at most {run.in_flight} in flight, {run.failed} failed, {run.seconds:.0f} s"
                f"{'  WRONG' if is_wrong else ''}",
                flush=True,
            )
    print(f"{options.runs - wrong} of {options.runs} invoices within the cap and within what was held")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
