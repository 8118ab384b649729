"""`python -m ops.bench.million.growth`: what a purge of half a large store costs, whom it holds up, what is left of it.

`gradequeue purge` is killed twice and run a third time, while somebody else enqueues. PostgreSQL's autovacuum runs as
it is delivered. Afterwards as much is enqueued as was purged, and the store should have grown by little.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import string
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from ops.bench.chaos.services import Cluster, cluster
from ops.bench.million.measure import fill
from workers.contract.job import JobParameters, JobSpec
from workers.store import Store
from workers.store.enqueue import NewJob, add_jobs, open_batch
from workers.store.tallies import recount

BATCHES = 20
KILLED_AFTER = (0.2, 0.5)
"""Parts of what is to be purged at which the command is killed."""
PROMPT = "".join(random.Random(0).choices(string.ascii_letters + " \n", k=4000))  # noqa: S311 - hard to compress
COMMAND = (str(Path(sys.executable).with_name("gradequeue")), "purge", "--older-than", "365d", "--yes")
MOST_WAIT_SECONDS = 2.0
"""Of somebody who enqueues ten jobs meanwhile, on a machine with other work."""


@dataclass
class Clicks:
    """Somebody who enqueues ten jobs again and again."""

    store: Store
    seconds: list[float] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `stop`."""
        number = 0
        while not self._stop.wait(0.1):
            number += 1
            batch = open_batch(self.store, name=f"click-{number}", provider="standin", queue="interactive")
            specs = [
                JobSpec(id=f"s{item}", prompt="x", schema="feedback", model="m", parameters=JobParameters())
                for item in range(10)
            ]
            began = time.monotonic()
            add_jobs(self.store, batch, (NewJob(spec=spec, schema_fingerprint="f") for spec in specs))
            self.seconds.append(time.monotonic() - began)

    def stop(self) -> None:
        """Let it end."""
        self._stop.set()


def main() -> int:
    """Fill, purge, fill again, report; 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="ops.bench.million.growth", description=__doc__)
    parser.add_argument("--jobs", type=int, default=300_000)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    kinds = [options.only] if options.only else ["sqlite", *(["postgresql"] if Cluster.is_possible() else [])]
    wrong: list[str] = []
    for kind in kinds:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gq-growth-"))
            url = f"sqlite:///{folder}/store.db" if kind == "sqlite" else stack.enter_context(cluster()).url
            store = Store.open(url)
            stack.callback(store.close)
            print(f"\n{kind}, {options.jobs} jobs, half of them old", flush=True)
            wrong += [f"{kind}: {each}" for each in _measure(store, url, Path(folder), options.jobs)]
    print(*(f"WRONG: {each}" for each in wrong), sep="\n")
    return 1 if wrong else 0


def _measure(store: Store, url: str, folder: Path, count: int) -> list[str]:
    store.migrate()
    half = count // 2
    _fill(store, "old", half, is_old=True)
    _fill(store, "new", count - half, is_old=False)
    _show(store, "filled")
    clicks = Clicks(store)
    clicking = threading.Thread(target=clicks.run)
    clicking.start()
    seconds = _purge_killed_twice(store, url, folder, half)
    clicks.stop()
    clicking.join()
    print(f"purged in {seconds:.0f} s, killed twice: {half / seconds:.0f} jobs/s")
    slowest = max(clicks.seconds)
    print(
        f"ten jobs enqueued meanwhile, {len(clicks.seconds)} times: median {statistics.median(clicks.seconds):.3f} s,"
        f" slowest {slowest:.2f} s"
    )
    _show(store, "purged")
    left = _with_prompt(store, "old")
    _fill(store, "again", half, is_old=False)
    _show(store, "as much enqueued again")
    with store.snapshot() as connection:
        differences = recount(connection)
    claims = {
        f"{left} jobs kept their prompt": left != 0,
        f"counters differ from a recount: {sorted(differences)}": bool(differences),
        f"somebody waited {slowest:.1f} s": slowest > MOST_WAIT_SECONDS,
    }
    return [claim for claim, is_true in claims.items() if is_true]


def _fill(store: Store, name: str, count: int, *, is_old: bool) -> None:
    for number in range(BATCHES):
        fill(store, f"{name}-{number}", count // BATCHES, is_waiting=False, is_old=is_old, prompt=PROMPT)


def _purge_killed_twice(store: Store, url: str, folder: Path, count: int) -> float:
    """Seconds of all three runs."""
    environment = {
        "PATH": os.environ["PATH"], "DATABASE_URL": url, "GRADEQUEUE_DATA_DIR": str(folder), "HOME": str(folder)
    }  # fmt: skip
    spent = 0.0
    for part in (*KILLED_AFTER, 1.0):
        began = time.monotonic()
        process = subprocess.Popen(COMMAND, env=environment)
        while part < 1.0 and process.poll() is None and _with_prompt(store, "old") > count * (1 - part):
            time.sleep(0.2)
        if part < 1.0:
            process.kill()
        status = process.wait()
        spent += time.monotonic() - began
        if part == 1.0 and status:
            raise SystemExit(f"purge ended with {status}")
    return spent


def _with_prompt(store: Store, name: str) -> int:
    with store.snapshot() as connection:
        found: int = connection.execute(
            text(
                "SELECT count(*) FROM jobs WHERE prompt IS NOT NULL AND batch_id IN"
                " (SELECT id FROM batches WHERE name LIKE :name)"
            ),
            {"name": f"{name}-%"},
        ).scalar_one()
    return found


def _show(store: Store, when: str) -> None:
    """Sizes, and what PostgreSQL's statistics say of dead rows."""
    if store.is_sqlite:
        with store.snapshot() as connection:
            pages, free, size = (
                connection.execute(text(f"SELECT * FROM pragma_{name}")).scalar_one()  # noqa: S608 - the names below
                for name in ("page_count", "freelist_count", "page_size")
            )
        print(f"{when}: {pages * size / 2**20:.0f} MiB, {free * size / 2**20:.0f} of them free", flush=True)
        return
    time.sleep(1.5)  # the statistics are that far behind
    with store.snapshot() as connection:
        total = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        rows = connection.execute(
            text(
                "SELECT relname, n_live_tup, n_dead_tup, autovacuum_count, vacuum_count, pg_total_relation_size(relid)"
                " AS size FROM pg_stat_user_tables WHERE relname IN ('jobs', 'outcomes') ORDER BY relname"
            )
        ).all()
    tables = ", ".join(
        f"{row.relname} {row.size / 2**20:.0f} MiB ({row.n_dead_tup} dead rows, vacuumed {row.vacuum_count} + "
        f"{row.autovacuum_count} times by itself)"
        for row in rows
    )
    print(f"{when}: {total / 2**20:.0f} MiB; {tables}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
