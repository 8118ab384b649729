"""`python -m ops.bench.million --before CHECKOUT`: reading a store of very many jobs, beside an earlier build.

The same rows on SQLite and PostgreSQL, filled by the database itself; each build measures them in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from ops.bench.chaos.services import Cluster, cluster

MEASURE = Path(__file__).with_name("measure.py")
MOST_APART = 0.1
"""Between figures that should not depend on the size of a batch or of the store."""
MOST_MS = {"progress_ms": 5.0, "batches_20_ms": 10.0, "failures_ms": 10.0, "feeder_ms": 20.0}


def main() -> int:
    """Fill, measure, report; 1 when a bound does not hold."""
    parser = argparse.ArgumentParser(prog="ops.bench.million", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--big", type=int, default=100_000, help="jobs of one more batch")
    parser.add_argument("--before", type=Path, help="checkout with a .venv of its own")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    kinds = [options.only] if options.only else ["sqlite", *(["postgresql"] if Cluster.is_possible() else [])]
    builds = {"after": Path(sys.executable)}
    if options.before:
        builds = {"before": options.before / ".venv" / "bin" / "python", **builds}
    is_good = True
    for kind in kinds:
        found = {}
        for build, python in builds.items():
            with ExitStack() as stack:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gq-million-"))
                url = f"sqlite:///{folder}/store.db" if kind == "sqlite" else stack.enter_context(cluster()).url
                found[build] = _measure(python, url, options)
        is_good &= _report(kind, found)
    return 0 if is_good else 1


def _measure(python: Path, url: str, options: argparse.Namespace) -> dict[str, float]:
    command = [str(python), str(MEASURE), url, str(options.jobs), str(options.batches), str(options.big)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _report(kind: str, found: dict[str, dict[str, float]]) -> bool:
    after, before = found["after"], found.get("before", {})
    print(f"\n{kind:22} {'before':>10} {'after':>10}  ratio")
    for name, value in after.items():
        earlier = before.get(name)
        ratio = f"{value / earlier:6.2f}" if earlier else ""
        print(f"{name:22} {'' if earlier is None else f'{earlier:10.2f}':>10} {value:10.2f} {ratio}")
    slow = {name: after[name] for name, most in MOST_MS.items() if after[name] > most}
    for name, value in slow.items():
        print(f"MISSED: {name} {value:.1f} (at most {MOST_MS[name]})")
    grows = {
        f"progress of a large batch {after['progress_big_ms']:.1f} ms, of a small one {after['progress_ms']:.1f}": (
            after["progress_big_ms"] > after["progress_ms"] * (1 + MOST_APART)
        ),
        f"enqueue {after['enqueue_full_per_s']:.0f} jobs/s, into an empty store {after['enqueue_empty_per_s']:.0f}": (
            after["enqueue_full_per_s"] < after["enqueue_empty_per_s"] * (1 - MOST_APART)
        ),
    }
    missed = [claim for claim, is_true in grows.items() if is_true]
    for claim in missed:
        print(f"MISSED: {claim}")
    return not slow and not missed


if __name__ == "__main__":
    sys.exit(main())
