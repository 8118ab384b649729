"""Jobs on their way into a submission and out of it: taken with their ledger rows, read for their requests, returned.

Jobs and ledger rows are one transaction, and nothing has been sent then: so a request that the provider was given is
always in the ledger, and its upper bound is held against the caps from before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select, update

from workers.contract.lane import Lane
from workers.contract.lane_choice import PriceWish
from workers.contract.outcome import AttemptEnding, JobState
from workers.store.admission import Admission, admit, lock_gates
from workers.store.claims import CLAIMED_COLUMNS, as_claimed
from workers.store.lane_tables import batch_lanes, submissions
from workers.store.lanes.placing import IS_IN_LANE
from workers.store.lanes.submissions import open_submission
from workers.store.sql import (
    IS_BATCH_OPEN,
    IS_MODEL_OPEN,
    IS_READY,
    IS_RUNNING,
    MOST_TRUSTED_LOSSES,
    PARKED_ACCOUNTS,
    PASSES_GATE,
    in_id_order,
    in_lists,
    lock_jobs,
)
from workers.store.tables import attempts, batch_gates, batches, jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

    from workers.store.claims import ClaimedJob
    from workers.store.day_caps import DayCaps
    from workers.store.ledger import AttemptOpening

_NOT_SENT = str(AttemptEnding.NOT_SENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingGroup:
    """Jobs of one batch that wait for a lane and ask one model."""

    batch_id: int
    model: str
    wish: PriceWish
    lane: Lane
    """The cheapest that they may take."""
    jobs: int
    seconds_to_deadline: float | None
    """Of the first of them; None when none has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One request of a submission and its job."""

    attempt_id: str
    job: ClaimedJob
    is_held: bool
    """The submission has the job's claim: whatever its answer is, it decides what follows."""
    most_usd: float | None

    @property
    def custom_id(self) -> str:
        """Names attempt, job and round, so that an output file can be read without the ledger."""
        return f"{self.attempt_id}.{self.job.id}.{self.job.round}"


def attempt_named(custom_id: str) -> str:
    """The attempt that a line of an output file belongs to."""
    return custom_id.split(".", 1)[0]


_STARTABLE = (
    IS_IN_LANE,
    jobs.c.not_before > now_seconds(),  # else the feeder sends it live
    jobs.c.lost_claims <= MOST_TRUSTED_LOSSES,
    jobs.c.position < batches.c.opened,
    PASSES_GATE,
    IS_BATCH_OPEN,
    IS_MODEL_OPEN,
    batches.c.provider.not_in(PARKED_ACCOUNTS),
)


def waiting_groups(connection: Connection, account: str) -> list[WaitingGroup]:
    """What may be handed over for this account; a batch whose first jobs run live waits for the first success."""
    live_jobs = select(jobs.c.id).where(
        jobs.c.batch_id == batches.c.id, or_(IS_RUNNING, IS_READY), jobs.c.lane.is_(None)
    )
    unproven = select(batch_gates.c.batch_id).where(batch_gates.c.proven_at.is_(None))
    rows = connection.execute(
        select(
            jobs.c.batch_id,
            jobs.c.model,
            batch_lanes.c.price,
            jobs.c.lane,
            func.count().label("jobs"),
            (func.min(jobs.c.deadline_at) - now_seconds()).label("left"),
        )
        .join(batches, batches.c.id == jobs.c.batch_id)
        .join(batch_lanes, batch_lanes.c.batch_id == jobs.c.batch_id)
        .where(
            batches.c.provider == account,
            *_STARTABLE,
            or_(batches.c.id.not_in(unproven), ~live_jobs.correlate(batches).exists()),
        )
        .group_by(jobs.c.batch_id, jobs.c.model, batch_lanes.c.price, jobs.c.lane)
        .order_by(jobs.c.batch_id, jobs.c.model, jobs.c.lane)
    )
    return [
        WaitingGroup(
            batch_id=row.batch_id,
            model=row.model,
            wish=PriceWish(row.price),
            lane=Lane(row.lane),
            jobs=row.jobs,
            seconds_to_deadline=row.left,
        )
        for row in rows
    ]


def candidates(
    connection: Connection, group: WaitingGroup, *, at_most: int, within_seconds: float | None
) -> list[ClaimedJob]:
    """The next jobs of a group as they will be once they are taken, the most urgent first.

    Only those with a deadline so many seconds ahead; None: also those without one.
    """
    in_time = jobs.c.deadline_at <= now_seconds() + within_seconds if within_seconds is not None else None
    found = connection.execute(
        select(*CLAIMED_COLUMNS)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(
            jobs.c.batch_id == group.batch_id,
            jobs.c.model == group.model,
            jobs.c.lane == str(group.lane),
            *_STARTABLE,
            *([] if in_time is None else [in_time]),
        )
        .order_by(jobs.c.deadline_at.is_(None), jobs.c.deadline_at, jobs.c.position)
        .limit(at_most)
    ).all()
    return list(as_claimed(connection, found).values())


def take(
    connection: Connection,
    submission_id: str,
    openings: Sequence[AttemptOpening],
    *,
    day_caps: DayCaps,
    input_tokens: int,
) -> dict[str, Admission]:
    """Let the submission hold these jobs, and open their ledger rows; attempt id -> what became of each.

    `openings` are of one batch and model, and carry the claim that each job has before. What may not be sent now waits
    as before. The submission is made with the first job that it takes.
    """
    gates = lock_gates(connection, day_caps=day_caps, openings=openings)
    claims = {opening.job_id: opening.claim for opening in openings}
    startable = in_id_order(
        select(jobs.c.id).join(batches, batches.c.id == jobs.c.batch_id).where(jobs.c.id.in_(list(claims)), *_STARTABLE)
    )
    rows = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(startable.scalar_subquery()))
        .values(state=JobState.RUNNING, worker_id=submission_id, claim=jobs.c.claim + 1, claimed_at=now_seconds())
        .returning(jobs.c.id, jobs.c.claim)
    ).all()
    taken = {row.id for row in rows if row.claim == claims[row.id] + 1}
    locked = lock_jobs(connection, claims)
    held = [replace(each, claim=each.claim + 1) for each in openings if each.job_id in taken]
    admitted = admit(connection, held, locked=locked, gates=gates)
    gates.write()
    refused = [each.job_id for each in held if not admitted[each.attempt_id].may_send]
    refused += [row.id for row in rows if row.id not in taken]
    for some in in_lists(refused):
        connection.execute(update(jobs).where(jobs.c.id.in_(some)).values(state=JobState.READY, worker_id=None))
    sent = sum(admission.may_send for admission in admitted.values())
    if sent:
        _count(
            connection,
            submission_id,
            openings[0],
            account=openings[0].account,
            requests=sent,
            input_tokens=input_tokens,
        )
    return {each.attempt_id: admitted.get(each.attempt_id, Admission.CLAIM_LOST) for each in openings}


def _count(
    connection: Connection, submission_id: str, first: AttemptOpening, *, account: str, requests: int, input_tokens: int
) -> None:
    is_there = select(submissions.c.id).where(submissions.c.id == submission_id)
    if connection.execute(is_there).scalar() is None:
        open_submission(
            connection, submission_id, account=account, batch_id=first.batch_id, model=first.model, lane=first.lane
        )
    connection.execute(
        update(submissions)
        .where(submissions.c.id == submission_id)
        .values(requests=submissions.c.requests + requests, input_tokens=submissions.c.input_tokens + input_tokens)
    )


def lines(connection: Connection, submission_id: str, *, after: str, at_most: int) -> list[Line]:
    """The requests of a submission in the order of its file, after this attempt; without those that were not sent."""
    ids = connection.execute(
        select(attempts.c.id)
        .where(attempts.c.submission_id == submission_id, attempts.c.id > after, _MAY_BE_SENT)
        .order_by(attempts.c.id)
        .limit(at_most)
    ).scalars()
    return lines_of(connection, submission_id, list(ids))


_MAY_BE_SENT = or_(attempts.c.ending.is_(None), attempts.c.ending != _NOT_SENT)


def lines_of(connection: Connection, submission_id: str, attempt_ids: Collection[str]) -> list[Line]:
    """These requests of a submission, in the order of its file; one that is not its own is absent."""
    found: list[Line] = []
    for some in in_lists(attempt_ids):
        rows = connection.execute(
            select(
                attempts.c.id.label("attempt_id"),
                attempts.c.held_usd,
                attempts.c.claim.label("attempt_claim"),
                attempts.c.round.label("attempt_round"),
                jobs.c.worker_id,
                *CLAIMED_COLUMNS,
            )
            .join(jobs, jobs.c.id == attempts.c.job_id)
            .where(attempts.c.id.in_(some), attempts.c.submission_id == submission_id)
            .order_by(attempts.c.id)
        ).all()
        present = as_claimed(connection, [row for row in rows if row.prompt is not None])
        for row in rows:
            if row.id not in present:
                continue
            is_held = row.worker_id == submission_id and (row.round, row.claim) == (
                row.attempt_round,
                row.attempt_claim,
            )
            found.append(
                Line(
                    attempt_id=row.attempt_id,
                    job=replace(present[row.id], round=row.attempt_round, claim=row.attempt_claim),
                    is_held=is_held,
                    most_usd=row.held_usd,
                )
            )
    return found


def seconds_to_first_deadline(connection: Connection, submission_id: str) -> float | None:
    """Of the jobs that this submission still holds; None where none has a deadline. Negative once it has passed."""
    first = select(func.min(jobs.c.deadline_at) - now_seconds()).where(jobs.c.worker_id == submission_id, IS_RUNNING)
    return connection.execute(first).scalar()


def note_leaving(connection: Connection, submission_id: str, *, reserve_seconds: float) -> None:
    """What has no answer so long before the first deadline of its jobs leaves the submission."""
    first = select(func.min(jobs.c.deadline_at) - reserve_seconds).where(jobs.c.worker_id == submission_id, IS_RUNNING)
    connection.execute(
        update(submissions).where(submissions.c.id == submission_id).values(leave_at=first.scalar_subquery())
    )
