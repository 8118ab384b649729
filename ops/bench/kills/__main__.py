"""`python -m ops.bench.kills`: a worker is killed (-9) at each step of a batch's life at the provider, another goes on.

    python -m ops.bench.kills [--jobs 20] [--step STEP ...]

Real worker processes, a broker, a store and the stand-in. For each step a worker kills itself right after it, before
anything of it is noted that comes later; then a second worker serves to the end. Judged are the outcomes (one a job),
what was billed (the ledger's bill is the invoice) and what is left at the provider (no file, no open submission).
Prints a line per step; exit status 1 when one is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from ops.bench.priced import MODEL, PROFILE
from ops.bench.processes import REPOSITORY, Standin, broker, program, standin, wait_until
from producer.client import JobClient
from producer.gradebook.bill import read_bill_of
from workers.contract.job import JobSpec
from workers.settings import load_settings
from workers.store.lane_tables import submissions
from workers.store.tables import outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS = (
    "taken", "written", "uploaded", "upload noted", "created", "creation noted", "looked", "end noted",
    "chunk persisted", "chunk noted", "returned", "persisted", "deleted", "cleaned",
)  # fmt: skip
"""In the order of a batch's life: decided, its file on disk, at the provider, and so on until the file is deleted."""
MOST_OFF = 0.001
DEAD = -signal.SIGKILL


def main() -> int:
    """Exit status 1 when the books of one step do not balance."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.kills")
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--step", nargs="+", choices=STEPS, default=list(STEPS))
    given = parser.parse_args()
    wrong = 0
    for step in given.step:
        told = killed_after(step, given.jobs)
        wrong += told["verdict"] != "right"
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    return 1 if wrong else 0


def killed_after(step: str, jobs: int) -> dict[str, object]:
    """One batch, a worker that dies after this step, and one that goes on."""
    with (
        tempfile.TemporaryDirectory(prefix="gq-kills-", ignore_cleanup_errors=True) as name,
        standin("--latency-ms", "5", "--project-tier", "priority") as provider,
        broker() as broker_url,
    ):
        folder = Path(name)
        provider.configure(batch_seconds="2")
        environment = _environment(folder, provider, broker_url)
        client = JobClient.connect(load_settings())
        try:
            specs = (
                JobSpec(id=str(each), prompt=f"work {each} " * 40, schema="feedback", model=MODEL)
                for each in range(jobs)
            )
            client.enqueue(specs, name="b", price="lowest", starts_carefully=False)
            with program(_serve(step), environment, folder / "dies.log") as worker:
                wait_until(lambda: worker.poll() is not None, f"the worker dies after {step!r}")
                code = worker.returncode
            with program(_serve("-"), environment, folder / "lives.log"):
                wait_until(lambda: client.batch("b").progress().is_finished, "every job ends")
                wait_until(lambda: not _open_submissions(client), "nothing is left to do")
                wait_until(lambda: not provider.stats()["files"], "no file is left")
            return _judged(step, client, provider, code=code, jobs=jobs)
        finally:
            client.close()


def _judged(step: str, client: JobClient, provider: Standin, *, code: int, jobs: int) -> dict[str, object]:
    bill, invoice = read_bill_of(client.store, batch="b"), provider.invoice()["usd"]
    progress = client.batch("b").progress()
    with client.store.snapshot() as connection:
        stored = connection.execute(select(func.count()).select_from(outcomes)).scalar_one()
        handed_over = connection.execute(select(func.count()).select_from(submissions)).scalar_one()
    requests = dict(progress.attempts)
    is_right = (
        code == DEAD
        and progress.succeeded == stored == jobs
        and bill.low_usd - MOST_OFF * invoice <= invoice <= bill.high_usd + MOST_OFF * invoice
        and requests.get("answered", 0) >= jobs
    )
    return {
        "killed_after": step,
        "exit": code,
        "succeeded": progress.succeeded,
        "outcomes": stored,
        "requests": requests,
        "submissions": handed_over,
        "bill_usd": [bill.low_usd, bill.high_usd],
        "invoice_usd": invoice,
        "verdict": "right" if is_right else "WRONG",
    }


def _open_submissions(client: JobClient) -> int:
    with client.store.snapshot() as connection:
        open_ones = select(func.count()).where(submissions.c.state.not_in(["settled"]))
        return connection.execute(open_ones).scalar_one()


def _serve(step: str) -> Sequence[str]:
    return [sys.executable, "-m", "ops.bench.kills.worker", step, "--queues", "bulk", "--concurrency", "20",
            "--without-gossip", "--without-mingle", "--loglevel", "INFO"]  # fmt: skip


def _environment(folder: Path, provider: Standin, broker_url: str) -> dict[str, str]:
    """What client and workers read; this process takes it over, too."""
    profiles = folder / "profiles.json"
    profiles.write_text(json.dumps({"models": {MODEL: PROFILE}}))
    os.environ.update(
        {
            "OPENAI_API_KEY": "sk-bench",
            "OPENAI_BASE_URL": provider.base_url,
            "REDIS_URL": broker_url,
            "DATABASE_URL": f"sqlite:///{folder / 'store.db'}",
            "GRADEQUEUE_DATA_DIR": str(folder),
            "GRADEQUEUE_MODEL_PROFILES": str(profiles),
            "GRADEQUEUE_HEARTBEAT": "0.5",
            "GRADEQUEUE_DEAD_AFTER": "4",
        }
    )
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


if __name__ == "__main__":
    sys.exit(main())
