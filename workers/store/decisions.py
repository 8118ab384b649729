"""The record of what people decided about grades: appended under a lock, read in order, never changed."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from workers.contract.decision import CONTEXT_SOURCE, Decision, DecisionKind, Official, ReleaseRule, official_grade
from workers.contract.errors import InvalidInput
from workers.store.overviews import find_batch
from workers.store.sql import in_lists, lock_batch
from workers.store.standings import write_standings
from workers.store.tables import audit_entries, batches, decisions, jobs, now_seconds, standings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from workers.store.engine import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """What a person wants recorded about one item."""

    item_id: str
    round: int
    kind: DecisionKind
    by: str
    reason: str = ""
    result: object | None = field(default=None, repr=False)
    source: str | None = None


DOWNLOAD = "download"
"""The action of an audit entry: somebody took a file of the batch."""


class ConflictingDecision(InvalidInput):
    """Somebody else decided about this item since the caller looked."""


def decide(
    store: Store,
    batch_name: str,
    item_ids: Collection[str],
    plan: Callable[[Mapping[str, Official]], Sequence[NewDecision]],
) -> int:
    """Append what `plan` makes of these items' present standing; returns how many decisions were appended.

    Decisions of one batch take turns, so the plan sees the newest standing and may be called again when a transaction
    has to be repeated. Raises what the plan raises, and then nothing was written.
    """
    return decide_in_turn(
        store, batch_name, lambda connection: [plan(read_officials(connection, batch_name, item_ids))]
    )


def decide_in_turn(store: Store, batch_name: str, plan: Callable[[Connection], Iterable[Sequence[NewDecision]]]) -> int:
    """The same for more items than memory should hold together: each part is written before the next is planned.

    All of it is one transaction. The plan reads what it needs through its connection.
    """
    with store.snapshot() as connection:
        batch = find_batch(connection, batch_name)

    def write(connection: Connection) -> int:
        lock_batch(connection, batch.id)
        now = connection.execute(select(now_seconds())).scalar_one()  # one moment for all of it: `read_last_act`
        count = 0
        for wanted in plan(connection):
            if wanted:
                connection.execute(insert(decisions), list(_new_rows(connection, batch.id, wanted, now)))
                decided = {each.item_id for each in wanted}
                write_standings(connection, batch.id, read_officials(connection, batch_name, decided))
            count += len(wanted)
        return count

    return store.run(write)


def read_officials(
    connection: Connection, batch_name: str, item_ids: Collection[str] | None = None
) -> dict[str, Official]:
    """What holds for each of these items, or for every item with a decision; the others are absent."""
    of_item: dict[str, list[Decision]] = defaultdict(list)
    for each in read_decisions(connection, batch_name, item_ids):
        of_item[each.item_id].append(each)
    return {item_id: official_grade(record) for item_id, record in of_item.items()}


def read_decisions(
    connection: Connection, batch_name: str, item_ids: Collection[str] | None = None
) -> Iterator[Decision]:
    """Every decision of the batch, or of these items, oldest first within an item."""
    statement = (
        select(decisions, jobs.c.item_id)
        .join(jobs, jobs.c.id == decisions.c.job_id)
        .join(batches, batches.c.id == decisions.c.batch_id)
        .where(batches.c.name == batch_name)
        .order_by(decisions.c.id)
    )
    if item_ids is None:
        yield from (_decision(row, batch_name) for row in connection.execute(statement))
        return
    for some in in_lists(list(item_ids)):
        for row in connection.execute(statement.where(jobs.c.item_id.in_(some))):
            yield _decision(row, batch_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Decisions that were made together: by one person, at one moment, of one kind."""

    kind: DecisionKind
    by: str
    at: float
    reason: str

    def includes(self, decision: Decision | None) -> bool:
        """Whether this decision was part of it."""
        return decision is not None and (decision.kind, decision.by, decision.at) == (self.kind, self.by, self.at)


def read_last_act(connection: Connection, batch_name: str) -> Act | None:
    """What was decided last about grades of this batch; a release or a recall decides about none."""
    batch = find_batch(connection, batch_name)
    shown = [str(DecisionKind.RELEASE), str(DecisionKind.RECALL)]
    row = connection.execute(
        select(decisions.c.kind, decisions.c.decided_by, decisions.c.decided_at, decisions.c.reason)
        .where(decisions.c.batch_id == batch.id, decisions.c.kind.not_in(shown))
        .order_by(decisions.c.id.desc())
        .limit(1)
    ).one_or_none()
    return row and Act(kind=DecisionKind(row.kind), by=row.decided_by, at=row.decided_at, reason=row.reason)


def are_standings_behind(connection: Connection, batch_id: int) -> bool:
    """An earlier release decided about items of the batch: make the standings again before they are read."""
    newest = select(func.max(decisions.c.id)).where(decisions.c.batch_id == batch_id).scalar_subquery()
    known = select(func.max(standings.c.last_id)).where(standings.c.batch_id == batch_id).scalar_subquery()
    row = connection.execute(select(newest.label("newest"), known.label("known"))).one()
    return bool(row.newest != row.known)


def rebuild_standings(store: Store, batch_name: str) -> None:
    """Make the standings of a batch again from its decisions."""
    with store.snapshot() as connection:
        batch = find_batch(connection, batch_name)

    def write(connection: Connection) -> None:
        lock_batch(connection, batch.id)
        write_standings(connection, batch.id, read_officials(connection, batch_name))

    store.run(write)


def read_release_rule(connection: Connection, batch_name: str) -> ReleaseRule:
    """The batch's rule; `all` until somebody chooses another."""
    find_batch(connection, batch_name)
    rule = connection.execute(select(batches.c.release_rule).where(batches.c.name == batch_name)).scalar()
    return ReleaseRule(rule or ReleaseRule.ALL)


def set_release_rule(store: Store, batch_name: str, rule: ReleaseRule, *, by: str) -> None:
    """Choose which items need a decision; the audit log says who did."""

    def write(connection: Connection) -> None:
        if read_release_rule(connection, batch_name) is not rule:
            connection.execute(update(batches).where(batches.c.name == batch_name).values(release_rule=str(rule)))
            _note(connection, by=by, action="release_rule", batch=batch_name, detail=str(rule))

    store.run(write)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit log. `at` is seconds since the epoch by the database's clock."""

    at: float
    by: str
    action: str
    batch: str
    item_id: str
    detail: str


def note_download(store: Store, batch_names: Sequence[str], *, by: str, detail: str) -> None:
    """Add that somebody took a file of each of these batches; `InvalidInput` for one that does not exist.

    No student work belongs into `detail`.
    """

    def write(connection: Connection) -> None:
        for name in batch_names:
            find_batch(connection, name)
            _note(connection, by=by, action=DOWNLOAD, batch=name, detail=detail)

    store.run(write)


def read_audit(connection: Connection, batch_name: str | None = None, *, newest: int | None = None) -> list[AuditEntry]:
    """Decisions and other actions on this batch, or on all, oldest first; with `newest` so many, newest first."""
    made = (
        select(decisions, jobs.c.item_id, batches.c.name.label("batch"))
        .join(jobs, jobs.c.id == decisions.c.job_id)
        .join(batches, batches.c.id == decisions.c.batch_id)
        .order_by(decisions.c.id.desc())
        .limit(newest)
    )
    done = select(audit_entries).order_by(audit_entries.c.id.desc()).limit(newest)
    if batch_name is not None:
        batch = find_batch(connection, batch_name)
        made = made.where(decisions.c.batch_id == batch.id)
        done = done.where(audit_entries.c.batch == batch_name)
    entries = [
        AuditEntry(
            at=row.decided_at,
            by=row.decided_by,
            action=row.kind,
            batch=row.batch,
            item_id=row.item_id,
            detail=_detail(row.source, row.reason),
        )
        for row in connection.execute(made)
    ]
    entries += [
        AuditEntry(at=row.at, by=row.by, action=row.action, batch=row.batch, item_id="", detail=row.detail)
        for row in connection.execute(done)
    ]
    if newest is not None:
        return sorted(entries, key=lambda entry: -entry.at)[:newest]
    entries.reverse()  # of two in one moment, the one recorded first
    return sorted(entries, key=lambda entry: entry.at)


def _detail(source: str | None, reason: str) -> str:
    """For the audit log: where the grade came from, else why."""
    if source is None or source.startswith(CONTEXT_SOURCE):
        return reason
    return f"from {source}"


def _note(connection: Connection, *, by: str, action: str, batch: str, detail: str) -> None:
    connection.execute(insert(audit_entries).values(at=now_seconds(), by=by, action=action, batch=batch, detail=detail))


def _new_rows(
    connection: Connection, batch_id: int, wanted: Sequence[NewDecision], now: float
) -> Iterator[dict[str, Any]]:
    job_ids: dict[str, str] = {}
    for some in in_lists([each.item_id for each in wanted]):
        rows = connection.execute(
            select(jobs.c.item_id, jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.item_id.in_(some))
        )
        job_ids.update((row.item_id, row.id) for row in rows)
    for each in wanted:
        yield {
            "batch_id": batch_id,
            "job_id": job_ids[each.item_id],
            "round": each.round,
            "kind": str(each.kind),
            "decided_by": each.by,
            "decided_at": now,
            "reason": each.reason,
            "result": None if each.result is None else json.dumps(each.result, ensure_ascii=False),
            "source": each.source,
        }


def _decision(row: Row[Any], batch_name: str) -> Decision:
    return Decision(
        id=row.id,
        batch=batch_name,
        item_id=row.item_id,
        job_id=row.job_id,
        round=row.round,
        kind=DecisionKind(row.kind),
        by=row.decided_by,
        at=row.decided_at,
        reason=row.reason,
        result=None if row.result is None else json.loads(row.result),
        source=row.source,
    )
