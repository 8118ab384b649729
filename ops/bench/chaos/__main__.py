"""`python -m ops.bench.chaos --minutes N`: run chaos for so long, print the books, exit 1 when they do not balance."""

from __future__ import annotations

import argparse
import sys

from ops.bench.chaos.judge import complaints
from ops.bench.chaos.run import Plan, run_chaos
from ops.bench.chaos.services import Cluster
from ops.bench.chaos.sweep import Sweep, run_sweep


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="ops.bench.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long things are broken; the drain comes after")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="which workers die")
    parser.add_argument("--sqlite", action="store_true", help="the store is a SQLite file, which is not restarted")
    parser.add_argument("--pooled", action="store_true", help="PostgreSQL behind PgBouncer in transaction mode")
    parser.add_argument(
        "--hosts", action="store_true", help="workers with addresses and clocks of their own (root); one is cut off"
    )
    parser.add_argument(
        "--rolling", nargs="?", const="HEAD", metavar="COMMIT",
        help="upgrade and replace workers meanwhile: from this commit to HEAD, or from HEAD to one more migration",
    )  # fmt: skip
    parser.add_argument("--sweep", action="store_true", help="instead: five faults, and the time back from each")
    options = parser.parse_args()
    if options.sweep:
        return _sweep()
    plan = Plan(
        duration=options.minutes * 60,
        workers=options.workers,
        concurrency=options.concurrency,
        seed=options.seed,
        with_postgresql=not options.sqlite and Cluster.is_possible(),
        pooled=options.pooled,
        hosts=options.hosts,
        rolling=options.rolling,
    )
    report = run_chaos(plan, say=lambda line: print(line, flush=True))
    books = report.books
    print(*report.events, sep="\n")
    print(f"jobs enqueued {books.enqueued}, finished {books.finished}, lost {books.lost}, failed {dict(books.failed)}")
    print(f"outcomes {books.rounds_with_outcome}, overwritten {books.overwritten}")
    print(f"ledger {dict(books.endings)}; calls the provider saw {books.provider_calls}")
    print(f"counters that differ from a recount: {', '.join(books.miscounted) or 'none'}")
    print(f"kills {len(report.kills)}, calls in flight at them and at the cut-off {report.calls_in_flight_at_kills}")
    print(f"calls repeated {books.repeated_calls}, calls not in the ledger {books.calls_not_in_ledger}")
    print(f"most calls in flight {report.most_in_flight}, workers started again, {report.seconds:.0f} s in all")
    wrong = complaints(report, plan)
    print(*(f"WRONG: {each}" for each in wrong) if wrong else ["the books balance"], sep="\n")
    return 1 if wrong else 0


def _sweep() -> int:
    if not Cluster.is_possible():
        print("the sweep needs PostgreSQL's programs")
        return 1
    found = run_sweep(Sweep(), say=lambda line: print(line, flush=True))
    return 0 if all(each.seconds_back is not None for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
