"""A store with one finished batch, as a course leaves it: results, ledger rows, flags and decisions."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from producer.review.neighbours import METHOD
from workers.contract.decision import DecisionKind
from workers.contract.flag import FlagKind
from workers.contract.job import JobSpec
from workers.contract.outcome import AttemptEnding, FailureKind
from workers.store.decisions import NewDecision, decide
from workers.store.enqueue import NewJob, add_jobs, open_batch, save_context
from workers.store.sql import new_id
from workers.store.tables import attempts, flags, jobs, now_seconds, outcomes
from workers.store.work_comparisons import Outlier, keep_outliers, read_stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row

    from workers.store import Store

BATCH = "course"
PROVIDER = "p"
_FAILED, _FLAGGED, _DECIDED, _REPAIRED, _FAR = 0.02, 0.08, 0.4, 0.03, 0.01
"""Shares of the students."""
_FEEDBACK = "A sentence about the program, what it does well and what it does not. " * 12


def fill(store: Store, students: int, *, name: str = BATCH, seed: int = 7) -> None:
    """One batch; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a benchmark
    batch = open_batch(store, name=name, provider=PROVIDER, queue="bulk")
    specs = (
        JobSpec(
            id=f"s{number:05d}", prompt=f"Grade this.\n\ndef f():\n    return {number}\n", schema="feedback", model="m"
        )
        for number in range(students)
    )
    add_jobs(store, batch, (NewJob(spec=spec, schema_fingerprint="f") for spec in specs))
    with store.transaction() as connection:
        of_batch = select(jobs.c.id, jobs.c.item_id, jobs.c.batch_id).where(jobs.c.batch_id == batch.id)
        rows = connection.execute(of_batch.order_by(jobs.c.position)).all()
        failed = {row.id for row in rows if chance.random() < _FAILED}
        _end(connection, rows, failed, chance)
    _add_doubt(store, rows, chance)
    decided = [row.item_id for row in rows if row.id not in failed and chance.random() < _DECIDED]
    decide(store, name, decided, lambda _officials: [_approval(item_id) for item_id in decided])


def _add_doubt(store: Store, rows: Sequence[Any], chance: random.Random) -> None:
    """Two rubrics with bands, answers that were repaired, grades far from those of nearly the same work."""
    bands = [{"score_min": start} for start in (0, 50, 65, 80, 90)]
    criterion = {"criterion_id": "all", "name": "All of it", "max_points": 100}
    rubrics = ("one", "two")
    for each in rubrics:
        save_context(store, context_hash=each, content={"criteria": [criterion], "overall_bands": bands})
    with store.transaction() as connection:
        for number, each in enumerate(rubrics):
            of_rubric = (jobs.c.batch_id == rows[0].batch_id) & (jobs.c.position % len(rubrics) == number)
            connection.execute(update(jobs).where(of_rubric).values(context_hash=each))
        repaired = [row for row in rows if chance.random() < _REPAIRED]
        again = [_attempt(row, 0.0, chance) | {"purpose": "repair"} for row in repaired]
        connection.execute(insert(attempts), again)
        stamp = read_stamp(connection, rows[0].batch_id)
    far = {row.id: (1, Outlier(70.0, 3, 0.2)) for row in rows if chance.random() < _FAR}
    keep_outliers(store, rows[0].batch_id, far, stamp, method=METHOD)


def _end(connection: Connection, rows: Sequence[Any], failed: set[str], chance: random.Random) -> None:
    now: float = connection.execute(select(now_seconds())).scalar_one()
    connection.execute(insert(outcomes), [_outcome(row, row.id in failed, now, chance) for row in rows])
    connection.execute(insert(attempts), [_attempt(row, now, chance) for row in rows])
    connection.execute(insert(flags), list(_flags(rows, chance)))
    for state, wanted in (("succeeded", False), ("failed", True)):
        ids = [row.id for row in rows if (row.id in failed) is wanted]
        for start in range(0, len(ids), 500):
            some = jobs.c.id.in_(ids[start : start + 500])
            connection.execute(update(jobs).where(some).values(state=state, finished_at=now - chance.random() * 600))


def _outcome(row: Row[Any], has_failed: bool, now: float, chance: random.Random) -> dict[str, object]:  # noqa: FBT001 - read beside its one call
    score = round(chance.gauss(70, 15))
    return {
        "job_id": row.id, "round": 1, "batch_id": row.batch_id, "claim": 1, "finished_at": now, "is_standin": False,
        "result": None if has_failed else json.dumps({"summary": _FEEDBACK, "score": score, "suggestions": []}),
        "points": None if has_failed else score,
        "failure_kind": str(FailureKind.REFUSED) if has_failed else None,
    }  # fmt: skip


def _attempt(row: Row[Any], now: float, chance: random.Random) -> dict[str, object]:
    return {
        "id": new_id(), "job_id": row.id, "batch_id": row.batch_id, "round": 1, "claim": 1, "worker_id": "w",
        "purpose": "grade", "model": "m", "opened_at": now - 700, "closed_at": now - chance.random() * 600,
        "ending": str(AttemptEnding.ANSWERED), "prompt_tokens": 1000, "completion_tokens": 300, "cached_tokens": 0,
        "reasoning_tokens": 0, "cost_usd": chance.uniform(0.001, 0.004),
    }  # fmt: skip


def _flags(rows: Sequence[Any], chance: random.Random) -> Iterator[dict[str, object]]:
    for row in rows:
        if chance.random() < _FLAGGED:
            kind = chance.choice(list(FlagKind))
            yield {
                "job_id": row.id, "round": 1, "number": 0, "batch_id": row.batch_id, "kind": str(kind), "path": "",
                "message": "",
            }  # fmt: skip


def _approval(item_id: str) -> NewDecision:
    return NewDecision(item_id=item_id, round=1, kind=DecisionKind.APPROVE, by="kim", result={"score": 70})
