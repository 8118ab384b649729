"""The books after chaos: what the store says, held against what the provider saw."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from workers.store.tables import attempts, jobs, outcomes
from workers.store.tables import workers as worker_rows
from workers.store.tallies import recount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.store import Store

OutcomeKey = tuple[str, int]


@dataclass
class Witness:
    """Reads outcomes while the run goes on; one that is ever different, or gone, was overwritten."""

    seen: dict[OutcomeKey, tuple[object, ...]] = field(default_factory=dict)
    overwritten: set[OutcomeKey] = field(default_factory=set)

    def look(self, store: Store) -> None:
        """Compare all outcomes with those of earlier looks."""
        with store.snapshot() as connection:
            rows = connection.execute(
                select(
                    outcomes.c.job_id, outcomes.c.round, outcomes.c.result, outcomes.c.failure_kind, outcomes.c.claim
                )
            )
            now = {(row.job_id, row.round): tuple(row) for row in rows}
        self.overwritten |= {key for key, content in self.seen.items() if now.get(key) != content}
        self.seen = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the run leaves behind."""

    enqueued: int
    stored: int
    finished: int
    failed: Mapping[str, int]
    rounds_with_outcome: int
    overwritten: int
    endings: Mapping[str, int]
    provider_calls: int
    repeated_calls: int
    """Calls beyond the first of a job that no failed request of the ledger explains."""
    calls_not_in_ledger: int
    """Calls of a prompt that the provider saw, beyond the ledger's rows for its job."""
    miscounted: tuple[str, ...]
    """Tallies that differ from a count of the rows."""

    @property
    def lost(self) -> int:
        """Jobs that were enqueued and have no outcome."""
        return self.enqueued - self.finished


def read_books(store: Store, *, enqueued: int, witness: Witness, provider_stats: Mapping[str, Any]) -> Books:
    """Read them when everything has ended."""
    witness.look(store)
    with store.snapshot() as connection:
        states = _pairs(connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)))
        failed = _pairs(
            connection.execute(
                select(outcomes.c.failure_kind, func.count())
                .where(outcomes.c.failure_kind.is_not(None))
                .group_by(outcomes.c.failure_kind)
            )
        )
        endings = _pairs(connection.execute(select(attempts.c.ending, func.count()).group_by(attempts.c.ending)))
        rows = connection.execute(
            select(jobs.c.prompt_hash, attempts.c.ending, func.count())
            .join(jobs, jobs.c.id == attempts.c.job_id)
            .group_by(jobs.c.prompt_hash, attempts.c.ending)
        )
        ledger: dict[str, Counter[str]] = {}
        for prompt_hash, ending, count in rows:
            ledger.setdefault(prompt_hash, Counter())[str(ending)] += count
        miscounted = tuple(sorted(recount(connection)))
    calls = {prompt: record["calls"] for prompt, record in provider_stats["prompts"].items()}
    return Books(
        enqueued=enqueued,
        stored=sum(states.values()),
        finished=states.get("succeeded", 0) + states.get("failed", 0),
        failed=failed,
        rounds_with_outcome=len(witness.seen),
        overwritten=len(witness.overwritten),
        endings=endings,
        provider_calls=sum(calls.values()),
        repeated_calls=sum(
            max(0, count - 1 - _answered_by_another(ledger.get(prompt, Counter()))) for prompt, count in calls.items()
        ),
        calls_not_in_ledger=sum(
            max(0, count - _sent(ledger.get(prompt, Counter()))) for prompt, count in calls.items()
        ),
        miscounted=miscounted,
    )


def open_calls(store: Store) -> dict[int, int]:
    """Process id -> requests that the ledger has open for that worker."""
    with store.snapshot() as connection:
        rows = connection.execute(
            select(worker_rows.c.pid, func.count())
            .select_from(attempts)
            .join(worker_rows, worker_rows.c.id == attempts.c.worker_id)
            .where(attempts.c.ending.is_(None))
            .group_by(worker_rows.c.pid)
        )
        return {pid: count for pid, count in rows}  # noqa: C416 - a Row is no pair to the type checker


def _answered_by_another(rows: Counter[str]) -> int:
    """Calls that ended without an answer, so that another one is right."""
    return rows["failed"] + rows["timed_out"] + rows["unavailable"]


def _sent(rows: Counter[str]) -> int:
    return sum(count for ending, count in rows.items() if ending != "not_sent")


def _pairs(rows: Any) -> dict[str, int]:
    return {str(name): count for name, count in rows}
