"""The outbox of notifications: written in the transaction of what happened, sent by one worker at a time.

    happens      a park, a reached cap, a skipped night: rows, in the same transaction
    ends         a batch whose jobs have all ended, seen by the sender's round: row and mark in one transaction
    sent         a receiver took it
    failed       tried again later and later; given up after the last of `SPACINGS_SECONDS`

A row is sent once or more often; its id is the same each time. One happening has one row for each target, whose id
follows from the operator's: who is both the operator and a batch's own target gets one message, as the batch's.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, func, insert, or_, select, update

from workers.contract.notification import MOST_NAMED, OPERATOR, Happening
from workers.contract.outcome import JobState
from workers.store.control_tables import notifications, notify_targets
from workers.store.sql import IS_FOLLOWING, IS_UNFINISHED, new_id, upsert
from workers.store.tables import batches, jobs, now_seconds, outcomes
from workers.store.tallies import job_tallies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

SPACINGS_SECONDS = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 86_400.0)
"""After each failed try. A receiver that is away for a day of the weekend still gets it; after that somebody looks."""
SPREAD = 0.2
KEPT_SECONDS = 30 * 86_400.0
"""What was sent, given up, or is for an operator whom no worker's settings name, is removed after a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message to one target. Times are seconds since the epoch, database clock."""

    id: str
    happening: str
    content: Mapping[str, Any]
    target: str
    happened_at: float
    tries: int = 0
    """Those that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxState:
    """What is under way, for people."""

    waiting: int = 0
    """To be sent, or tried again."""
    given_up: int = 0
    error: str | None = None
    """Of the newest try that failed, among these."""


def add_targets(connection: Connection, batch_id: int, targets: Iterable[str]) -> None:
    """Add these targets to the batch; one that it has already is kept."""
    for target in targets:
        connection.execute(upsert(connection, notify_targets, key={"batch_id": batch_id, "target": target}))


def note_batch_stopped(connection: Connection, batch_id: int, reason: str) -> None:
    """The batch's gate was closed now; the operator is notified, too."""
    name = connection.execute(select(batches.c.name).where(batches.c.id == batch_id)).scalar_one()
    content = {"batch": name, "reason": reason}
    _add(connection, Happening.BATCH_STOPPED, dict.fromkeys((*_targets(connection, batch_id), OPERATOR), content))


def note_account(connection: Connection, happening: Happening, account: str, **more: str) -> None:
    """Nothing of this account starts now. Each target gets one message, with its own batches that wait for it."""
    waiting = connection.execute(
        select(notify_targets.c.target, batches.c.name)
        .join(batches, batches.c.id == notify_targets.c.batch_id)
        .where(batches.c.provider == account, _has_unfinished())
        .order_by(batches.c.id)
    ).all()
    named: dict[str, list[str]] = {OPERATOR: []}
    for row in waiting:
        named.setdefault(row.target, []).append(row.name)
    contents = {
        target: {"account": account, **more, "batches": names[:MOST_NAMED], "batch_count": len(names)}
        for target, names in named.items()
    }
    _add(connection, happening, contents)


def note_night(connection: Connection, *, entry: str, night: str, reason: str) -> None:
    """A nightly run did not happen as it should; for the operator. Two that say the same of one night say it once."""
    content = {"entry": entry, "night": night, "reason": reason}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    new = {"happening": str(Happening.NIGHT_SKIPPED), "target": OPERATOR, "content": content, "tries": 0}
    times = {"happened_at": now_seconds(), "next_at": now_seconds()}
    connection.execute(upsert(connection, notifications, key={"id": digest[:32]}, new={**new, **times}))


def note_ended(connection: Connection) -> int:
    """Write messages about the batches that have ended since they were last looked at; returns their number.

    For the one that sends: two at a time would notify twice.
    """
    last = select(func.max(outcomes.c.finished_at)).where(outcomes.c.batch_id == notify_targets.c.batch_id)
    last_at = last.correlate(notify_targets).scalar_subquery()
    rows = connection.execute(
        select(
            notify_targets.c.batch_id, notify_targets.c.target, batches.c.name, batches.c.provider, last_at.label("at")
        )
        .join(batches, batches.c.id == notify_targets.c.batch_id)
        .where(
            last_at > func.coalesce(notify_targets.c.told_at, 0.0),
            ~_has_unfinished(),
            ~exists().where(jobs.c.batch_id == batches.c.id, jobs.c.position >= batches.c.opened),
        )
        .order_by(notify_targets.c.batch_id)
    ).all()
    for batch_id, told in groupby(rows, lambda row: row.batch_id):
        targets = {row.target: row for row in told}
        [row, *_] = targets.values()
        content = {"batch": row.name, "provider": row.provider, **_counts(connection, batch_id)}
        _add(connection, Happening.BATCH_ENDED, dict.fromkeys(targets, content))
        connection.execute(
            update(notify_targets)
            .where(notify_targets.c.batch_id == batch_id, notify_targets.c.target.in_(targets))
            .values(told_at=row.at)
        )
    return len(rows)


def _has_unfinished() -> Any:
    return exists().where(jobs.c.batch_id == batches.c.id, or_(IS_UNFINISHED, IS_FOLLOWING))


def _counts(connection: Connection, batch_id: int) -> dict[str, int]:
    rows = connection.execute(
        select(job_tallies.c.state, func.sum(job_tallies.c.jobs).label("jobs"))
        .where(job_tallies.c.batch_id == batch_id)
        .group_by(job_tallies.c.state)
    )
    found = {row.state: int(row.jobs) for row in rows}
    return {name: found.get(state, 0) for name, state in _TOLD_STATES.items()}


_TOLD_STATES = {"succeeded": JobState.SUCCEEDED, "failed": JobState.FAILED}


def _targets(connection: Connection, batch_id: int) -> Sequence[str]:
    query = select(notify_targets.c.target).where(notify_targets.c.batch_id == batch_id)
    return connection.execute(query.order_by(notify_targets.c.target)).scalars().all()


def _add(connection: Connection, happening: Happening, contents: Mapping[str, Mapping[str, object]]) -> None:
    of_operator = new_id()
    rows = [
        {
            "id": of_operator if target == OPERATOR else _id_for(target, of_operator), "happening": str(happening),
            "target": target, "content": dict(content), "tries": 0,
        }
        for target, content in contents.items()
    ]  # fmt: skip
    connection.execute(insert(notifications).values(happened_at=now_seconds(), next_at=now_seconds()), rows)


def _id_for(target: str, of_operator: str) -> str:
    """The id of this target's message about an event, by that of the operator's row."""
    return hashlib.sha256(f"{of_operator} {target}".encode()).hexdigest()[:32]


def address_operator(connection: Connection, targets: Sequence[str]) -> int:
    """Give what is for the operator to those whom the settings name; returns how many messages that were.

    Any worker may do so, several at a time: each message goes to one of them. Who gets it already, as a target of
    the batch, gets no second message.
    """
    if not targets:
        return 0
    found = connection.execute(
        update(notifications)
        .where(notifications.c.target == OPERATOR, notifications.c.next_at.is_not(None))
        .values(next_at=None, sent_at=now_seconds())
        .returning(notifications.c.id, notifications.c.happening, notifications.c.content, notifications.c.happened_at)
    ).all()
    for each in found:
        message = {"happening": each.happening, "content": each.content, "tries": 0, "happened_at": each.happened_at}
        for target in targets:
            new = {**message, "target": target, "next_at": now_seconds()}
            connection.execute(upsert(connection, notifications, key={"id": _id_for(target, each.id)}, new=new))
    return len(found)


def due_notifications(connection: Connection, *, at_most: int) -> list[Notification]:
    """Those to send now, the one that waits longest first."""
    rows = connection.execute(
        select(notifications)
        .where(notifications.c.next_at <= now_seconds(), notifications.c.target != OPERATOR)
        .order_by(notifications.c.next_at, notifications.c.id)
        .limit(at_most)
    )
    return [
        Notification(
            id=row.id,
            happening=row.happening,
            content=row.content,
            target=row.target,
            happened_at=row.happened_at,
            tries=row.tries,
        )
        for row in rows
    ]


def note_sent(connection: Connection, notification_id: str) -> None:
    """A receiver took it."""
    _end(connection, notification_id, sent_at=now_seconds(), next_at=None, error=None)


def note_failed(connection: Connection, sent: Notification, error: str, *, is_final: bool = False) -> bool:
    """Try again later, or give up after the last spacing or at once; false when it was given up."""
    tries = sent.tries + 1
    if is_final or tries > len(SPACINGS_SECONDS):
        _end(connection, sent.id, given_up_at=now_seconds(), next_at=None, error=error, tries=tries)
        return False
    wait = SPACINGS_SECONDS[tries - 1] * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 - no secret
    _end(connection, sent.id, next_at=now_seconds() + wait, error=error, tries=tries)
    return True


def _end(connection: Connection, notification_id: str, **values: object) -> None:
    connection.execute(update(notifications).where(notifications.c.id == notification_id).values(**values))


def forget_old(connection: Connection) -> int:
    """Remove what ended a month ago, or waited for so long for an operator's address; returns how many."""
    old = func.coalesce(notifications.c.sent_at, notifications.c.given_up_at, notifications.c.happened_at)
    is_over = or_(notifications.c.next_at.is_(None), notifications.c.target == OPERATOR)
    return connection.execute(delete(notifications).where(is_over, old < now_seconds() - KEPT_SECONDS)).rowcount


def read_outbox(connection: Connection) -> OutboxState:
    """How many wait or were given up; what waits for an operator whom nobody named does not count."""
    waits = notifications.c.next_at.is_not(None) & (notifications.c.target != OPERATOR)
    is_given_up = notifications.c.given_up_at.is_not(None)
    counts = connection.execute(
        select(func.count().filter(waits), func.count().filter(is_given_up)).select_from(notifications)
    ).one()
    error = connection.execute(
        select(notifications.c.error)
        .where(or_(waits, is_given_up), notifications.c.error.is_not(None))
        .order_by(notifications.c.happened_at.desc(), notifications.c.id.desc())
        .limit(1)
    ).scalar()
    return OutboxState(waiting=counts[0], given_up=counts[1], error=error)
