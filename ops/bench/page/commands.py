"""`python -m ops.bench.page.commands`: memory and processor time of the commands of a review, on a large batch.

Two batches of the same students on SQLite, and the installed commands; `--before CHECKOUT` measures another build's
commands on the same store. Work a command has of its own (imports, start-up) is in the figures: about 40 MiB.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from ops.bench.page.filled import BATCH, fill
from workers.store import Store

HAND_GRADES = 30
OTHER = "again"


def main() -> None:
    """Fill a store, run each command once per build."""
    parser = argparse.ArgumentParser(prog="ops.bench.page.commands", description=__doc__)
    parser.add_argument("--results", type=int, default=50_000)
    parser.add_argument("--before", type=Path, help="checkout with a .venv of its own")
    parser.add_argument("--only", help="the command whose name begins so")
    options = parser.parse_args()
    builds = {"after": Path(sys.executable).parent}
    if options.before:
        builds = {"before": options.before / ".venv" / "bin", **builds}
    with tempfile.TemporaryDirectory(prefix="gq-bench-") as name:
        folder = Path(name)
        store = Store.open(f"sqlite:///{folder}/store.db")
        store.migrate()
        fill(store, options.results)
        fill(store, options.results, name=OTHER, seed=8)
        store.close()
        hand = folder / "hand.csv"
        lines = [f"s{number * (options.results // HAND_GRADES):05d},70" for number in range(HAND_GRADES)]
        hand.write_text("\n".join(["id,total", *lines, ""]), encoding="utf-8")
        commands = {
            "review": ["review", BATCH],
            "review --json": ["review", BATCH, "--json"],
            "review --against": ["review", BATCH, "--against", OTHER],
            "review --read 40": ["review", BATCH, "--read", "40", "--hand", str(hand)],
            "agreement": ["agreement", BATCH, str(hand)],
            "drift": ["drift", BATCH, OTHER],
            "drift --out": ["drift", BATCH, OTHER, "--out", str(folder / "changes.csv")],
            "apply": ["apply", BATCH, OTHER, "--yes"],
        }
        for title, words in commands.items():
            if not title.startswith(options.only or ""):
                continue
            for build, programs in builds.items():
                seconds, mib, status = _run([str(programs / "gradequeue"), *words], folder)
                print(f"{title:<20}{build:<8}{mib:>7.0f} MiB{seconds:>8.1f} s processor  status {status}", flush=True)


def _run(command: list[str], folder: Path) -> tuple[float, float, int]:
    environment = {
        "PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{folder}/store.db", "HOME": str(folder),
        "GRADEQUEUE_DATA_DIR": str(folder), "GRADEQUEUE_REVIEWER": "kim",
    }  # fmt: skip
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    mib, ended, status, usage = 0.0, 0, 0, resource.getrusage(resource.RUSAGE_SELF)
    while not ended:
        mib = max(mib, psutil.Process(process.pid).memory_info().rss / 2**20)
        time.sleep(0.01)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, mib, process.returncode


if __name__ == "__main__":
    main()
