"""`python -m ops.bench.million.exports --before CHECKOUT`: files of results of a large batch, beside an earlier build.

The same rows on SQLite and PostgreSQL; each build's own commands write them. A command's start-up, measured with a
batch of one job, is taken off its time.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from ops.bench.chaos.services import Cluster, cluster
from ops.bench.million.measure import fill
from workers.store import Store

LEAST_RATIO = {"sqlite": 4.0, "postgresql": 8.0}
MOST_MIB = 100.0
TIMES = 2
COMMANDS = {"results": ("results",), "export": ("export",), "ledger": ("export", "--ledger")}
MIGRATE = "import sys; from workers.store import Store; Store.open(sys.argv[1]).migrate()"


@dataclass(frozen=True, slots=True)
class Taken:
    """One run of a command."""

    seconds: float
    """Of processor time, of the command and of the server: the machine may have other work."""
    mib: float


@dataclass(frozen=True, slots=True)
class Place:
    """A build's programs, a folder of its own and a server of its own; SQLite without one."""

    programs: Path
    folder: Path
    server: Cluster | None

    @property
    def url(self) -> str:
        """Of the store."""
        return f"sqlite:///{self.folder}/store.db" if self.server is None else self.server.url

    def server_seconds(self) -> float:
        """Processor time that the server and all it ever started have taken."""
        if self.server is None:
            return 0.0
        first = psutil.Process(self.server.pid)
        ended = first.cpu_times().children_user + first.cpu_times().children_system
        running = [each for server in (first, *first.children(recursive=True)) for each in _cpu_times(server)]
        return float(ended + sum(each.user + each.system for each in running))


def main() -> int:
    """Fill, measure, report; 1 when a bound does not hold."""
    parser = argparse.ArgumentParser(prog="ops.bench.million.exports", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--before", type=Path, help="checkout with a .venv of its own")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    kinds = [options.only] if options.only else ["sqlite", *(["postgresql"] if Cluster.is_possible() else [])]
    builds = {"after": Path(sys.executable).parent}
    if options.before:
        builds = {"before": options.before / ".venv" / "bin", **builds}
    is_good = True
    for kind in kinds:
        found: dict[str, dict[str, float]] = {}
        for build, programs in builds.items():
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gq-exports-")))
                server = None if kind == "sqlite" else stack.enter_context(cluster())
                place = Place(programs, folder, server)
                print(f"\n{kind}, {build}")
                found[build] = _measure(place, options.jobs)
        for command, rate in found["after"].items():
            if "before" in found:
                ratio = rate / found["before"][command]
                is_good &= command == "ledger" or ratio >= LEAST_RATIO[kind]
                print(f"{kind} {command}: {ratio:.1f} times")
            is_good &= rate > 0
    return 0 if is_good else 1


def _cpu_times(process: psutil.Process) -> list[psutil._common.pcputimes]:
    """None for one that has ended meanwhile: it is in the time of its parent's children then."""
    try:
        return [process.cpu_times()]
    except psutil.NoSuchProcess:
        return []


def _measure(place: Place, jobs: int) -> dict[str, float]:
    """Rows a second by command."""
    # in a folder without modules, so that it takes its own
    subprocess.run([place.programs / "python", "-c", MIGRATE, place.url], check=True, cwd=place.folder)
    store = Store.open(place.url)
    fill(store, "one", 1, is_waiting=False)
    fill(store, "big", jobs, is_waiting=False)
    with store.without_transaction() as connection:
        connection.exec_driver_sql("ANALYZE" if store.is_sqlite else "VACUUM ANALYZE")
        if not store.is_sqlite:  # or its work is counted as the commands'
            connection.exec_driver_sql("ALTER SYSTEM SET autovacuum = off")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
    store.close()
    rates = {}
    for name, words in COMMANDS.items():
        runs = {batch: [_run(place, words, batch) for _ in range(TIMES)] for batch in ("one", "big")}
        seconds = {batch: min(each.seconds for each in taken) for batch, taken in runs.items()}
        mib = max(each.mib for each in runs["big"])
        rates[name] = jobs / (seconds["big"] - seconds["one"])
        print(f"{name:8} {rates[name]:9.0f} rows/s {mib:6.0f} MiB  (start-up {seconds['one']:.2f} s)")
        if mib > MOST_MIB:
            print(f"{name}: more than {MOST_MIB:.0f} MiB")
    return rates


def _run(place: Place, words: tuple[str, ...], batch: str) -> Taken:
    home = str(place.folder)
    environment = {
        "PATH": os.environ["PATH"], "DATABASE_URL": place.url, "GRADEQUEUE_DATA_DIR": home, "HOME": home
    }  # fmt: skip
    command = [str(place.programs / "gradequeue"), words[0], batch, *words[1:], "--out", f"{home}/out.jsonl"]
    began = place.server_seconds()
    process = subprocess.Popen(command, env=environment, cwd=place.folder)
    mib, ended, status, usage = 0.0, 0, 0, resource.getrusage(resource.RUSAGE_SELF)
    while not ended:  # what `wait4` says of memory includes this process, of which the other was a copy
        mib = max(mib, psutil.Process(process.pid).memory_info().rss / 2**20)
        time.sleep(0.01)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    taken = usage.ru_utime + usage.ru_stime + place.server_seconds() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return Taken(taken, mib)


if __name__ == "__main__":
    sys.exit(main())
