"""New jobs with nothing to grade end at once, with their reason; those with unread files are flagged in every round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, update

from workers.contract.flag import Flag, FlagKind
from workers.contract.outcome import FailureKind
from workers.store.flags import write_input_flags
from workers.store.provenance import read_asked_only
from workers.store.sql import in_lists
from workers.store.tables import jobs, now_seconds, outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from workers.contract.job import JobSpec


def note_what_is_missing(connection: Connection, batch_id: int, new_jobs: Mapping[str, tuple[int, JobSpec]]) -> None:
    """Job id -> round and spec of rows that were just written, in the same transaction."""
    reasons = {job_id: found for job_id, found in new_jobs.items() if found[1].left_out}
    for some in in_lists(reasons):
        connection.execute(update(jobs).where(jobs.c.id.in_(some)).values(finished_at=now_seconds()))
    if reasons:
        asked = read_asked_only(connection, reasons)
        connection.execute(
            insert(outcomes).values(finished_at=now_seconds()),
            [
                {**_outcome(job_id, round_, spec.left_out, batch_id), "provenance": asked[job_id]}
                for job_id, (round_, spec) in reasons.items()
            ],
        )
    write_input_flags(connection, batch_id, {job_id: _flags_of(spec) for job_id, (_round, spec) in new_jobs.items()})


def _flags_of(spec: JobSpec) -> tuple[Flag, ...]:
    if not spec.not_read:
        return spec.flags
    reasons = "; ".join(dict.fromkeys(spec.not_read))
    missing = Flag(kind=FlagKind.PARTS_MISSING, message=f"{len(spec.not_read)} not read: {reasons}")
    return (missing, *spec.flags)


def _outcome(job_id: str, job_round: int, reason: str, batch_id: int) -> dict[str, object]:
    return {
        "job_id": job_id,
        "round": job_round,
        "batch_id": batch_id,
        "claim": 0,
        "failure_kind": str(FailureKind.NOT_GRADED),
        "failure_message": reason,
        "is_standin": False,
    }
