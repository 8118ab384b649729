"""Answers that are paid for while their round needs another request.

A valid one decides the round when its counterfactual has been asked for; an invalid one is to be repaired.
Kept with the job in the transaction that closes their request, so that none is bought again where the next request has
to wait (for a spend cap, a limit, another worker): the next claim of the round finds the answer and goes on behind it.
Whatever ends the round removes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from workers.contract.outcome import UNFINISHED_STATES, Success
from workers.store.ending_json import ending_as_json, ending_from_json
from workers.store.fitting import fit_job
from workers.store.ledger import finish_jobs
from workers.store.tables import jobs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from workers.store.ledger import JobEnding
    from workers.store.sql import LockedJob


def keep_answers(connection: Connection, kept: Sequence[JobEnding], *, locked: Mapping[str, LockedJob]) -> None:
    """Keep answers with their jobs while the round is unfinished: like every success, one of an older claim too."""
    for answer in kept:
        job = locked.get(answer.job_id)
        if job is not None and job.round == answer.round and job.state in UNFINISHED_STATES:
            row = fit_job({"kept_answer": ending_as_json(answer)})
            connection.execute(update(jobs).where(jobs.c.id == answer.job_id).values(row))


def end_with_kept_answers(connection: Connection, locked: Mapping[str, LockedJob]) -> set[str]:
    """End those of these unfinished jobs that have a valid one with it, rather than without; returns their ids."""
    rows = connection.execute(
        select(jobs.c.id, jobs.c.round, jobs.c.kept_answer).where(
            jobs.c.id.in_(locked), jobs.c.kept_answer.is_not(None)
        )
    ).all()
    kept = [kept_answer(row.kept_answer, row.round) for row in rows]
    graded = [answer for answer in kept if answer is not None and isinstance(answer.outcome, Success)]
    return finish_jobs(connection, graded, locked=locked)


def kept_answer(content: Mapping[str, Any] | None, job_round: int) -> JobEnding | None:
    """The answer that a job's row keeps; None for another round's, and for what a newer version wrote."""
    if content is None:
        return None
    try:
        ending = ending_from_json(content)
    except (KeyError, TypeError, ValueError):
        return None
    return ending if ending.round == job_round else None
