"""Submissions: requests that were handed to the provider together, and how far each is.

One row's life:

    building   its jobs are taken and its requests are in the ledger; nothing was sent
    uploaded   the provider has the file
    created    the provider works on it
    cancelling the provider was asked to stop
    ended      the provider is done; its answers wait to be read
    persisted  every answer is stored, and every job that got none waits again
    cleaned    (`cleaned_at`) the provider holds nothing of it any more

A submission is the holder of its jobs' claims: its id takes the place of a worker's, so that they outlive every worker.
Its id is also the marker by which the provider finds what was made and not noted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from workers.contract.lane import Lane
from workers.contract.outcome import JobState
from workers.store.lane_tables import submissions
from workers.store.sql import CLOSED_BATCHES, IS_BATCH_OPEN, IS_READY, PARKED_ACCOUNTS
from workers.store.tables import batches, jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection


class SubmissionState(StrEnum):
    """See above."""

    BUILDING = "building"
    UPLOADED = "uploaded"
    CREATED = "created"
    CANCELLING = "cancelling"
    ENDED = "ended"
    PERSISTED = "settled"
    """Its stored value is that of releases before this one."""


BEFORE_PROVIDER = frozenset({SubmissionState.BUILDING, SubmissionState.UPLOADED})
AT_PROVIDER = frozenset({SubmissionState.CREATED, SubmissionState.CANCELLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One row; times are seconds since the epoch, database clock."""

    id: str
    account: str
    batch_id: int
    model: str
    lane: Lane
    state: SubmissionState
    requests: int
    input_tokens: int
    input_file: str | None
    provider_id: str | None
    output_file: str | None
    error_file: str | None
    lines_settled: int
    """Of the answers, in the order in which they are read."""
    answered: int
    """Of these, with an answer of the model."""
    opened_at: float
    created_at: float | None
    leave_at: float | None
    """When what has no answer is to be cancelled, and sent faster; None: it may take what it takes."""
    ended_at: float | None
    ended_as: str | None
    message: str | None
    now: float
    """When this was read."""

    @property
    def is_late(self) -> bool:
        """Its jobs have to be sent another way."""
        return self.leave_at is not None and self.leave_at <= self.now


_COLUMNS = tuple(submissions.c[name] for name in Submission.__slots__ if name != "now")


def open_submission(
    connection: Connection, submission_id: str, *, account: str, batch_id: int, model: str, lane: Lane
) -> None:
    """Make the row of one that is empty."""
    connection.execute(
        insert(submissions).values(
            id=submission_id,
            account=account,
            batch_id=batch_id,
            model=model,
            lane=str(lane),
            state=str(SubmissionState.BUILDING),
            requests=0,
            input_tokens=0,
            lines_settled=0,
            answered=0,
            opened_at=now_seconds(),
            next_look_at=now_seconds(),
        )
    )


def read_submission(connection: Connection, submission_id: str) -> Submission:
    """One that exists."""
    return _submission(
        connection.execute(select(*_COLUMNS, now_seconds().label("now")).where(submissions.c.id == submission_id)).one()
    )


def due_submissions(connection: Connection, account: str, *, at_most: int) -> list[Submission]:
    """Those that are to be looked at now, the longest due first."""
    rows = connection.execute(
        select(*_COLUMNS, now_seconds().label("now"))
        .where(
            submissions.c.account == account,
            submissions.c.cleaned_at.is_(None),
            submissions.c.next_look_at <= now_seconds(),
        )
        .order_by(submissions.c.next_look_at)
        .limit(at_most)
    )
    return [_submission(row) for row in rows]


def uncleaned_submissions(connection: Connection, account: str, *, at_most: int) -> list[Submission]:
    """Persisted ones of which the provider still holds files or prompts, whenever they are due."""
    rows = connection.execute(
        select(*_COLUMNS, now_seconds().label("now"))
        .where(
            submissions.c.account == account,
            submissions.c.state == str(SubmissionState.PERSISTED),
            submissions.c.cleaned_at.is_(None),
        )
        .limit(at_most)
    )
    return [_submission(row) for row in rows]


def open_submissions(connection: Connection, batch: str | None = None) -> list[Submission]:
    """Those that are not persisted, of the batch of this name or of all, the oldest first."""
    query = select(*_COLUMNS, now_seconds().label("now")).where(
        submissions.c.cleaned_at.is_(None), submissions.c.state != str(SubmissionState.PERSISTED)
    )
    if batch is not None:
        query = query.where(submissions.c.batch_id.in_(select(batches.c.id).where(batches.c.name == batch)))
    return [_submission(row) for row in connection.execute(query.order_by(submissions.c.opened_at))]


def advance(
    connection: Connection,
    submission_id: str,
    *,
    since: Collection[SubmissionState],
    to: SubmissionState,
    look_after_seconds: float = 0.0,
    **noted: Any,
) -> bool:
    """Take it from one of these states to the next, noting what was learned; false when it is in none of them."""
    values: dict[str, Any] = {"state": str(to), "next_look_at": now_seconds() + look_after_seconds, **noted}
    if to is SubmissionState.CREATED:
        values.setdefault("created_at", now_seconds())
    if to is SubmissionState.ENDED:
        values.setdefault("ended_at", now_seconds())
    if to is SubmissionState.PERSISTED:
        values.setdefault("settled_at", now_seconds())
    changed = connection.execute(
        update(submissions)
        .where(submissions.c.id == submission_id, submissions.c.state.in_([str(each) for each in since]))
        .values(**values)
    )
    return changed.rowcount > 0


def note(connection: Connection, submission_id: str, *, look_after_seconds: float = 0.0, **noted: Any) -> None:
    """Note what was learned, and when to look again."""
    connection.execute(
        update(submissions)
        .where(submissions.c.id == submission_id)
        .values(next_look_at=now_seconds() + look_after_seconds, **noted)
    )


def note_cleaned(connection: Connection, submission_id: str) -> None:
    """The provider holds nothing of it any more."""
    connection.execute(update(submissions).where(submissions.c.id == submission_id).values(cleaned_at=now_seconds()))


def tokens_in_flight(connection: Connection, account: str) -> Mapping[tuple[str, Lane], tuple[int, int]]:
    """(model, lane) -> (submissions, input tokens) that are being made or are at the provider."""
    rows = connection.execute(
        select(
            submissions.c.model, submissions.c.lane, func.count().label("number"),
            func.sum(submissions.c.input_tokens).label("tokens"),
        )
        .where(
            submissions.c.account == account,
            submissions.c.cleaned_at.is_(None),
            submissions.c.state.not_in([str(SubmissionState.ENDED), str(SubmissionState.PERSISTED)]),
        )
        .group_by(submissions.c.model, submissions.c.lane)
    )  # fmt: skip
    return {(row.model, Lane(row.lane)): (row.number, int(row.tokens)) for row in rows}


def cancellation_is_asked(connection: Connection, submission_id: str) -> bool:
    """Whether every job that still waits for an answer of it is to be cancelled."""
    row = connection.execute(
        select(func.count().label("held"), func.count().filter(jobs.c.cancel_requested).label("unwanted")).where(
            jobs.c.worker_id == submission_id, jobs.c.state == JobState.RUNNING
        )
    ).one()
    return bool(0 < row.held == row.unwanted)


def is_held_back(connection: Connection, submission_id: str) -> bool:
    """Whether its batch waits for somebody's word, or its account for its provider: then nothing of it may start."""
    may_start = (
        select(submissions.c.id)
        .join(batches, batches.c.id == submissions.c.batch_id)
        .where(
            submissions.c.id == submission_id,
            IS_BATCH_OPEN,
            batches.c.id.not_in(CLOSED_BATCHES),
            batches.c.provider.not_in(PARKED_ACCOUNTS),
        )
    )
    return connection.execute(may_start).scalar() is None


def has_work(connection: Connection, account: str) -> bool:
    """Whether anything waits for a lane, or is on its way; two looks into indexes."""
    is_open = select(submissions.c.id).where(submissions.c.account == account, submissions.c.cleaned_at.is_(None))
    waits = select(jobs.c.id).where(IS_READY, jobs.c.lane.is_not(None))
    return any(connection.execute(query.limit(1)).first() is not None for query in (is_open, waits))


def _submission(row: Any) -> Submission:
    values = dict(row._mapping)  # noqa: SLF001 - a Row's public view
    return Submission(**values | {"lane": Lane(row.lane), "state": SubmissionState(row.state)})
