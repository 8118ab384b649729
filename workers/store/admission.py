"""Who may send: decided where a request's ledger row is opened, in one transaction with it and for all processes.

A request holds its upper bound against the caps of its batch and its day from the moment its row is opened; its real
cost takes that place when the row is closed, and where the end is not known the upper bound stays. So caps are kept
even when a worker dies; nothing is rebuilt. When what is left of a cap is taken by calls in flight, the next one waits
for their ends; when none is in flight, the gate closes.

The first outcomes of a batch are judged here too: when all fail alike for a cause that the rest shares, it closes.

Locks: gates of batches in order of their id, then days, both before jobs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from workers.contract.notification import Happening
from workers.contract.outcome import AttemptEnding, Failure, FailureKind, Success
from workers.store.bulk import among
from workers.store.day_caps import NO_DAY_CAPS, day_of
from workers.store.gate_locks import locked_gates
from workers.store.gates import FIRST_JOBS, ClosedBy
from workers.store.ledger import IS_CORRECTED, counted_usd, open_attempts
from workers.store.outbox import note_account, note_batch_stopped
from workers.store.pauses import paused_openings
from workers.store.spend_cap import SpendCap
from workers.store.sql import IS_READY, in_lists, upsert
from workers.store.tables import attempts, batch_gates, batches, day_gates, jobs, now_seconds, outcomes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from workers.store.day_caps import DayCaps
    from workers.store.ledger import AttemptClosing, AttemptOpening, JobEnding
    from workers.store.sql import LockedJob

SHARED_FAILURES = frozenset(
    {FailureKind.REJECTED_REQUEST, FailureKind.UNKNOWN_SCHEMA, FailureKind.TRUNCATED, FailureKind.INTERNAL}
)
"""What lies in the model, the parameters or the schema more often than in one student's text."""


class Admission(StrEnum):
    """What becomes of a request that wants to be sent."""

    MAY_SEND = "may_send"
    MAY_SEND_FIRST = "may_send_first"
    """The rest of its batch waits until the provider has taken a request of it: its headers are to be told at once."""
    CLAIM_LOST = "claim_lost"
    """Its job is another's now."""
    NO_ROOM = "no_room"
    """Calls in flight have taken what is left of a cap: ask again when one of them has ended."""
    PAUSED = "paused"
    """Its batch, model, account or queue was paused, or its account parked, while it waited: the job goes back."""
    CLOSED = "closed"
    """Its batch or its day waits for somebody's word: the job goes back, and no attempt is spent."""

    @property
    def may_send(self) -> bool:
        """The request's row is open."""
        return self in (Admission.MAY_SEND, Admission.MAY_SEND_FIRST)


@dataclass(slots=True)
class Gates:
    """The gates that a transaction's work goes through, locked until it ends. Made by `lock_gates`."""

    connection: Connection
    kept: DayCaps
    today: str
    rows: dict[int, Row[Any]]
    caps: dict[int, SpendCap]
    days: dict[tuple[str, str], SpendCap]
    """By account and day."""
    closed_today: set[str]
    """Accounts whose day is over."""
    closed: set[int] = field(default_factory=set)

    def count_costs(self, closings: Sequence[AttemptClosing]) -> None:
        """Let each request's real cost take the place of its upper bound; to be called before its row is closed."""
        if not self.caps and not self.days:
            return
        by_id: dict[str, AttemptClosing] = {}
        for closing in closings:  # a row takes its first known end, however many its request was given
            if (earlier := by_id.get(closing.attempt_id)) is None or earlier.ending is AttemptEnding.UNKNOWN:
                by_id[closing.attempt_id] = closing
        for some in in_lists(by_id):
            rows = self.connection.execute(
                select(
                    attempts.c.id, attempts.c.batch_id, attempts.c.opened_at, attempts.c.held_usd, batches.c.provider
                )
                .join(batches, batches.c.id == attempts.c.batch_id)
                .where(among(self.connection, attempts.c.id, some), attempts.c.held_usd.is_not(None), IS_CORRECTED)
            )
            for row in rows:
                counts = counted_usd(by_id[row.id])
                if counts is not None:
                    self._take(row.batch_id, (row.provider, day_of(row.opened_at)), counts - row.held_usd)

    def admit(self, openings: Sequence[AttemptOpening]) -> dict[str, Admission]:
        """Attempt id -> what becomes of it, in order; what may be sent holds its upper bound from now on."""
        known = self._known(openings) if self.caps or self.days else frozenset()
        return {
            opening.attempt_id: self._sent(opening) if opening.attempt_id in known else self._admit(opening)
            for opening in openings
        }

    def hear(self, batch_ids: Collection[int]) -> None:
        """The provider has taken requests of these batches: more may follow before the first answer."""
        if unheard := [batch_id for batch_id in sorted(batch_ids) if self._is_unheard(batch_id)]:
            self.connection.execute(
                update(batch_gates).where(batch_gates.c.batch_id.in_(unheard)).values(heard_at=now_seconds())
            )

    def write(self) -> None:
        """Store what was held and given back."""
        for batch_id, account in self.caps.items():
            if account.change_usd:
                held = batch_gates.c.held_usd + account.change_usd
                self.connection.execute(
                    update(batch_gates).where(batch_gates.c.batch_id == batch_id).values(held_usd=held)
                )
        for (provider, day), account in self.days.items():
            if account.change_usd:
                self.connection.execute(
                    update(day_gates)
                    .where(day_gates.c.provider == provider, day_gates.c.day == day)
                    .values(held_usd=day_gates.c.held_usd + account.change_usd)
                )

    def judge_first(self, endings: Iterable[JobEnding]) -> None:
        """After outcomes were stored: a success proves the batch; the first ones all alike and failed close it."""
        unproven = {row.batch_id for row in self.rows.values() if row.proven_at is None and row.closed_at is None}
        successes = {each.batch_id for each in endings if isinstance(each.outcome, Success)}
        failures = {each.batch_id for each in endings if isinstance(each.outcome, Failure)}
        for batch_id in sorted(unproven & successes):
            self._prove(batch_id)
        for batch_id in sorted(unproven & failures - successes):
            self._judge_failures(batch_id)

    def _known(self, openings: Sequence[AttemptOpening]) -> frozenset[str]:
        """Rows of a commit whose answer was lost: they hold their part already."""
        known: set[str] = set()
        for some in in_lists([opening.attempt_id for opening in openings]):
            found = select(attempts.c.id).where(among(self.connection, attempts.c.id, some))
            known.update(self.connection.execute(found).scalars())
        return frozenset(known)

    def _admit(self, opening: AttemptOpening) -> Admission:
        row = self.rows.get(opening.batch_id)
        is_closed = opening.batch_id in self.closed or (row is not None and row.closed_at is not None)
        if is_closed or opening.account in self.closed_today:
            return Admission.CLOSED
        key = (opening.account, self.today)
        cap, day = self.caps.get(opening.batch_id), self.days.get(key)
        if self.kept.by_account.get(opening.account) is None:
            day = None  # other workers keep the day's cap; what this one spends counts all the same
        refused = self._refuse(opening, cap, day) if cap is not None or day is not None else None
        if refused is None:
            self._take(opening.batch_id, key, opening.most_usd or 0.0)
        return refused or self._sent(opening)

    def _sent(self, opening: AttemptOpening) -> Admission:
        return Admission.MAY_SEND_FIRST if self._is_unheard(opening.batch_id) else Admission.MAY_SEND

    def _is_unheard(self, batch_id: int) -> bool:
        row = self.rows.get(batch_id)
        return row is not None and row.proven_at is None and row.heard_at is None and row.closed_at is None

    def _refuse(self, opening: AttemptOpening, cap: SpendCap | None, day: SpendCap | None) -> Admission | None:
        batch_id, usd = opening.batch_id, opening.most_usd
        if usd is None:
            return self._close(batch_id, ClosedBy.NO_PRICE, f"the price of {opening.model} is unknown to the worker")
        if cap is not None and not cap.has_room(usd):
            if cap.opened or self._is_in_flight(attempts.c.batch_id == batch_id):
                return Admission.NO_ROOM
            return self._close(batch_id, ClosedBy.SPEND_CAP, cap.spent(usd))
        if day is not None and not day.has_room(usd):
            return self._refuse_day(opening.account, [opening.account], day, usd)
        if day is not None and (total := self._total()) is not None and not total.has_room(usd):
            return self._refuse_day(opening.account, sorted(self.kept.by_account), total, usd)
        return None

    def _refuse_day(self, account: str, spenders: Sequence[str], cap: SpendCap, usd: float) -> Admission:
        of_them = attempts.c.batch_id.in_(select(batches.c.id).where(batches.c.provider.in_(spenders)))
        if cap.opened or self._is_in_flight(of_them):
            return Admission.NO_ROOM
        return self._close_day(account, cap.max_usd, cap.spent(usd))

    def _total(self) -> SpendCap | None:
        """What all accounts of this worker have spent today, against the cap for all of them."""
        if self.kept.total_usd is None:
            return None
        days = [
            day for (account, name), day in self.days.items() if name == self.today and account in self.kept.by_account
        ]
        return SpendCap.together(days, max_usd=self.kept.total_usd)

    def _take(self, batch_id: int, day: tuple[str, str], usd: float) -> None:
        for account in (self.caps.get(batch_id), self.days.get(day)):
            if account is not None:
                account.take(usd)

    def _is_in_flight(self, which: Any) -> bool:
        query = select(attempts.c.id).where(which, attempts.c.ending.is_(None)).limit(1)
        return self.connection.execute(query).scalar() is not None

    def _close(self, batch_id: int, closed_by: ClosedBy, message: str) -> Admission:
        self.closed.add(batch_id)
        note_batch_stopped(self.connection, batch_id, str(closed_by))
        values = {"closed_at": now_seconds(), "closed_by": str(closed_by), "message": message}
        if batch_id in self.rows:
            self.connection.execute(update(batch_gates).where(batch_gates.c.batch_id == batch_id).values(**values))
        else:
            new = {"proven_at": now_seconds(), "held_usd": 0.0}
            self.connection.execute(
                upsert(self.connection, batch_gates, key={"batch_id": batch_id}, values=values, new=new)
            )
        return Admission.CLOSED

    def _close_day(self, account: str, max_usd: float, message: str) -> Admission:
        self.closed_today.add(account)
        note_account(self.connection, Happening.DAY_CAP_REACHED, account, day=self.today)
        self.connection.execute(
            update(day_gates)
            .where(day_gates.c.provider == account, day_gates.c.day == self.today)
            .values(closed_at=now_seconds(), max_usd=max_usd, message=message)
        )
        return Admission.CLOSED

    def _prove(self, batch_id: int) -> None:
        self.connection.execute(
            update(batch_gates).where(batch_gates.c.batch_id == batch_id).values(proven_at=now_seconds())
        )

    def _judge_failures(self, batch_id: int) -> None:
        found = self.connection.execute(
            select(outcomes.c.failure_kind, outcomes.c.failure_message, jobs.c.model, jobs.c.schema_name, func.count())
            .join(jobs, (jobs.c.id == outcomes.c.job_id) & (jobs.c.round == outcomes.c.round))
            .where(outcomes.c.batch_id == batch_id, outcomes.c.same_as.is_(None))
            .group_by(outcomes.c.failure_kind, outcomes.c.failure_message, jobs.c.model, jobs.c.schema_name)
        ).all()
        if sum(row[-1] for row in found) < FIRST_JOBS:
            return
        kind, message, model, schema, count = found[0]
        is_shared = len(found) == 1 and kind in SHARED_FAILURES and self._shares_rest(batch_id, model, schema)
        if is_shared:
            self._close(batch_id, ClosedBy.SAME_FAILURE, f"its first {count} jobs all failed alike ({kind}): {message}")
        else:
            self._prove(batch_id)

    def _shares_rest(self, batch_id: int, model: str, schema: str) -> bool:
        """Something waits, and all of it asks the same model for the same schema."""
        rest = (jobs.c.batch_id == batch_id, IS_READY)
        others = (jobs.c.model != model) | (jobs.c.schema_name != schema)
        waits = self.connection.execute(select(jobs.c.id).where(*rest).limit(1)).scalar() is not None
        differs = self.connection.execute(select(jobs.c.id).where(*rest, others).limit(1)).scalar() is not None
        return waits and not differs


def lock_gates(
    connection: Connection,
    *,
    day_caps: DayCaps = NO_DAY_CAPS,
    openings: Collection[AttemptOpening] = (),
    closings: Collection[AttemptClosing] = (),
    endings: Collection[JobEnding] = (),
    heard: Collection[int] = (),
) -> Gates:
    """Lock the gates that this work goes through; to be called before its jobs are locked.

    `day_caps` are the worker's, empty where nothing is opened; a closing counts towards the day on which its request
    was opened. `heard` are batches of which the provider has taken a request.
    """
    found = locked_gates(
        connection,
        day_caps,
        batch_ids={*heard, *(each.batch_id for each in openings), *(each.batch_id for each in endings)},
        closing_ids=[each.attempt_id for each in closings],
        is_opening=bool(openings),
    )
    return Gates(
        connection=connection,
        kept=day_caps,
        today=found.today,
        rows=found.rows,
        caps={key: SpendCap(row.max_usd, row.held_usd) for key, row in found.rows.items() if row.max_usd is not None},
        days=found.days,
        closed_today=found.closed_today,
    )


def admit(
    connection: Connection, openings: Sequence[AttemptOpening], *, locked: Mapping[str, LockedJob], gates: Gates
) -> dict[str, Admission]:
    """Open the rows of those that may be sent; attempt id -> what becomes of each. Endings are to be stored before."""
    held = [each for each in openings if each.job_id in locked and locked[each.job_id].is_held_by(each.claim)]
    paused = paused_openings(connection, held)
    admitted = gates.admit([each for each in held if each.attempt_id not in paused])
    admitted.update(dict.fromkeys(paused, Admission.PAUSED))
    sent = [opening for opening in held if admitted[opening.attempt_id].may_send]
    if sent:
        open_attempts(connection, sent, locked=locked)
    return {each.attempt_id: admitted.get(each.attempt_id, Admission.CLAIM_LOST) for each in openings}
