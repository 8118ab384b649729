"""Enqueue, cancel and retry: how jobs come into being and begin another round.

A batch is filled in chunks while its new jobs are *staging* (position at or above `opened`: nobody publishes them),
and opened with the last one. A job's key is (batch, item id). The same key with the same content is the job that
exists; with other content it is refused. What an enqueue staged before it died is removed by the next one.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from sqlalchemy import Double, bindparam, case, delete, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from workers.contract.errors import ConflictingJob, InvalidInput, ServiceUnavailable
from workers.contract.job import JobSpec, content_hash, prompt_hash
from workers.contract.outcome import FailureKind
from workers.store.ids import new_id
from workers.store.leases import drop_lease, take_lease
from workers.store.rows import IS_OPENED, IS_UNFINISHED, LIST_LENGTH, in_lists, lock_jobs
from workers.store.tables import batches, contexts, jobs, now_seconds, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Table

    from workers.store.engine import Store

CHUNK = 1000
"""Rows per transaction: large enough to amortise the commit, small enough that other writers wait milliseconds."""
LEASE_SECONDS = 60.0
"""An enqueue that commits no chunk for so long has died, or its input stands still."""
LONGEST_WAIT_SECONDS = 600.0
"""A hundred thousand jobs take a minute; who waits ten of them should hear of it."""
OCCUPIED_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """A batch without its jobs."""

    id: int
    name: str
    provider: str
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A checked job, ready for its row."""

    spec: JobSpec
    schema_fingerprint: str
    context_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueReport:
    """What an enqueue did: every job given is one of the two."""

    batch: BatchHeader
    new: int
    existing: int


def open_batch(
    store: Store, *, name: str, provider: str, queue: str, origin: Mapping[str, object] | None = None
) -> BatchHeader:
    """The batch of this name, made if need be. Raises `InvalidInput` when it belongs to another provider."""
    with store.transaction() as connection:
        connection.execute(
            _insert_or_ignore(connection, batches).values(
                name=name, provider=provider, queue=queue, created_at=now_seconds(), opened=0, origin=dict(origin or {})
            )
        )
        header = find_batch(connection, name)
        if header.provider != provider:
            raise InvalidInput(
                f"batch {name!r} was made for provider {header.provider!r}, not {provider!r}; choose another --name"
            )
        if header.queue != queue:
            connection.execute(update(batches).where(batches.c.id == header.id).values(queue=queue))
    return BatchHeader(id=header.id, name=name, provider=provider, queue=queue)


def find_batch(connection: Connection, name: str) -> BatchHeader:
    """The batch of this name; raises `InvalidInput` when there is none."""
    columns = (batches.c.id, batches.c.name, batches.c.provider, batches.c.queue)
    row = connection.execute(select(*columns).where(batches.c.name == name)).one_or_none()
    if row is None:
        raise InvalidInput(f"there is no batch {name!r}; `gradequeue status` lists them")
    return BatchHeader(id=row.id, name=row.name, provider=row.provider, queue=row.queue)


def save_context(store: Store, *, context_hash: str, content: Mapping[str, object]) -> None:
    """Keep a rubric or catalogue once, by its hash."""
    with store.transaction() as connection:
        connection.execute(_insert_or_ignore(connection, contexts).values(hash=context_hash, content=dict(content)))


def add_jobs(
    store: Store, batch: BatchHeader, new_jobs: Iterable[NewJob], *, on_chunk: Callable[[int, int], None] | None = None
) -> EnqueueReport:
    """Commit the jobs in chunks while they are staging, then open the batch. Idempotent; raises `ConflictingJob`.

    One enqueue at a time fills a batch; another one waits for it. Jobs that fit in one chunk cost one transaction.
    `on_chunk(new, existing)` hears the counts so far.
    """
    return _Filling(store, batch, on_chunk).fill(new_jobs)


class _Occupied(Exception):  # noqa: N818 - it is no error yet
    """Another enqueue fills the batch at this moment."""


@dataclass(slots=True)
class _Filling:
    """One enqueue of one batch, under a lease that each chunk renews."""

    store: Store
    batch: BatchHeader
    on_chunk: Callable[[int, int], None] | None
    holder: str = field(default_factory=new_id)
    position: int = -1
    """Of the next new job; negative before the first chunk."""
    new: int = 0
    existing: int = 0

    def fill(self, new_jobs: Iterable[NewJob]) -> EnqueueReport:
        remaining = iter(new_jobs)
        chunk = list(islice(remaining, CHUNK))
        try:
            while True:
                following = list(islice(remaining, CHUNK))
                self._store_chunk(chunk, is_last=not following)
                if not following:
                    return EnqueueReport(batch=self.batch, new=self.new, existing=self.existing)
                chunk = following
        except BaseException:
            self._give_up()
            raise

    def _store_chunk(self, chunk: Sequence[NewJob], *, is_last: bool) -> None:
        if self.position < 0:
            self._wait_for_the_others()
        added = self.store.run(lambda connection: self._write(connection, chunk, is_last=is_last))
        self.position += added
        self.new += added
        self.existing += len(chunk) - added
        if self.on_chunk is not None:
            self.on_chunk(self.new, self.existing)

    def _wait_for_the_others(self) -> None:
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while True:
            try:
                while (left := self.store.run(self._discard_staged)) is None:
                    pass
            except _Occupied:
                if time.monotonic() > deadline:
                    raise ServiceUnavailable(
                        "store", f"another command is still filling batch {self.batch.name!r}; try again later"
                    ) from None
                time.sleep(OCCUPIED_POLL_SECONDS)
            else:
                self.position = left
                return

    def _discard_staged(self, connection: Connection) -> int | None:
        """Remove some of what an enqueue that died had staged; the first free position when nothing is left."""
        self._hold(connection)
        opened: int = connection.execute(select(batches.c.opened).where(batches.c.id == self.batch.id)).scalar_one()
        staged = list(
            connection.execute(
                select(jobs.c.id)
                .where(jobs.c.batch_id == self.batch.id, jobs.c.position >= opened)
                .order_by(jobs.c.id)
                .limit(LIST_LENGTH)
            ).scalars()
        )
        if not staged:
            return opened
        connection.execute(delete(jobs).where(jobs.c.id.in_(staged)))
        return None

    def _hold(self, connection: Connection) -> None:
        lock_batch(connection, self.batch.id)
        if not take_lease(connection, self._lease, holder=self.holder, seconds=LEASE_SECONDS):
            raise _Occupied

    @property
    def _lease(self) -> str:
        return f"enqueue:{self.batch.id}"

    def _write(self, connection: Connection, chunk: Sequence[NewJob], *, is_last: bool) -> int:
        try:
            self._hold(connection)
        except _Occupied:
            raise ServiceUnavailable(
                "store", f"the enqueue of {self.batch.name!r} stood still for too long; run the same command again"
            ) from None
        added = _add_chunk(connection, self.batch, chunk, self.position)
        if is_last:
            connection.execute(
                update(batches).where(batches.c.id == self.batch.id).values(opened=self.position + added)
            )
            drop_lease(connection, self._lease, holder=self.holder)
        return added

    def _give_up(self) -> None:
        """Let the corrected command in at once; what is staged is removed by it."""
        with suppress(ServiceUnavailable):
            self.store.run(lambda connection: drop_lease(connection, self._lease, holder=self.holder))


def lock_batch(connection: Connection, batch_id: int) -> None:
    """Enqueue, cancel and retry of one batch take turns; taken before any of its jobs is locked."""
    connection.execute(select(batches.c.id).where(batches.c.id == batch_id).with_for_update(key_share=True))


def _add_chunk(connection: Connection, batch: BatchHeader, chunk: Sequence[NewJob], position: int) -> int:
    hashes: dict[str, str] = {}
    fresh: dict[str, NewJob] = {}
    for job in chunk:
        job_hash = content_hash(job.spec, schema_fingerprint=job.schema_fingerprint, provider=batch.provider)
        if hashes.setdefault(job.spec.id, job_hash) != job_hash:
            raise _conflict(job.spec.id, batch)
        fresh.setdefault(job.spec.id, job)
    for item_id, known_hash in _existing_hashes(connection, batch, list(hashes)).items():
        if hashes[item_id] != known_hash:
            raise _conflict(item_id, batch)
        del fresh[item_id]
    rows = [_row(job, batch, hashes[item_id], position + offset) for offset, (item_id, job) in enumerate(fresh.items())]
    if rows:
        connection.execute(_INSERT_JOBS, rows)
    return len(rows)


def _conflict(item_id: str, batch: BatchHeader) -> ConflictingJob:
    return ConflictingJob(
        f"job {item_id!r} exists in batch {batch.name!r} with another prompt, schema, model or parameters; "
        "choose another --name to grade it anew"
    )


def _existing_hashes(connection: Connection, batch: BatchHeader, item_ids: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in in_lists(item_ids):
        rows = connection.execute(
            select(jobs.c.item_id, jobs.c.content_hash).where(jobs.c.batch_id == batch.id, jobs.c.item_id.in_(some))
        )
        found.update((row.item_id, row.content_hash) for row in rows)
    return found


def _row(job: NewJob, batch: BatchHeader, job_hash: str, position: int) -> dict[str, object]:
    spec = job.spec
    return {
        "id": new_id(),
        "batch_id": batch.id,
        "item_id": spec.id,
        "position": position,
        "schema_name": spec.schema,
        "schema_fingerprint": job.schema_fingerprint,
        "context_hash": job.context_hash,
        "prompt": spec.prompt,
        "prompt_hash": prompt_hash(spec.prompt),
        "content_hash": job_hash,
        "model": spec.model,
        "parameters": spec.parameters.as_json(),
        "metadata": dict(spec.metadata),
        "state": "ready",
        "round": 1,
        "claim": 0,
        "publish_number": 0,
        "snoozes": 0,
        "cancel_requested": False,
        "deadline_seconds": spec.parameters.deadline_seconds,
    }


_INSERT_JOBS = insert(jobs).values(
    enqueued_at=now_seconds(),
    deadline_at=now_seconds() + bindparam("deadline_seconds", type_=Double),  # NULL without a deadline
)


def retry_failed(store: Store, batch_name: str, *, kinds: Sequence[FailureKind] = ()) -> int:
    """Open round n+1 for the batch's failed jobs (of these kinds, when given); returns how many.

    What fails again meanwhile is not reopened twice; a purged job has no prompt any more and stays as it is.
    """
    with store.snapshot() as connection:
        batch = find_batch(connection, batch_name)
        began_at = connection.execute(select(now_seconds())).scalar_one()
    reopened = 0
    while count := store.run(lambda connection: _reopen_some(connection, batch, began_at, kinds)):
        reopened += count
    return reopened


def _reopen_some(connection: Connection, batch: BatchHeader, began_at: float, kinds: Sequence[FailureKind]) -> int:
    lock_batch(connection, batch.id)
    wanted = outcomes.c.failure_kind.in_([str(kind) for kind in kinds]) if kinds else literal(value=True)
    chosen = list(
        connection.execute(
            select(jobs.c.id)
            .join(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
            .where(
                jobs.c.batch_id == batch.id,
                jobs.c.state == "failed",
                jobs.c.prompt.is_not(None),
                outcomes.c.finished_at <= began_at,
                wanted,
            )
            .order_by(jobs.c.id)
            .limit(LIST_LENGTH)
        ).scalars()
    )
    failed = [job.id for job in lock_jobs(connection, chosen).values() if job.state == "failed"]
    connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(failed))
        .values(
            state="ready",
            round=jobs.c.round + 1,
            published_at=None,
            snoozes=0,
            finished_at=None,
            deadline_at=_new_deadline(),
        )
    )
    connection.execute(update(batches).where(batches.c.id == batch.id).values(cancelled_at=None))
    return len(failed)


def _new_deadline() -> object:
    deadline = jobs.c.parameters["deadline_seconds"].as_float()
    return case((deadline.is_not(None), now_seconds() + deadline), else_=None)


def cancel_batch(store: Store, batch_name: str) -> tuple[int, int]:
    """Cancel what has not finished: waiting jobs end `cancelled` now, running ones are asked to stop.

    Returns (cancelled now, asked to stop). A success that still arrives from a running job is kept.
    """
    with store.snapshot() as connection:
        batch = find_batch(connection, batch_name)
    cancelled = asked = 0
    while some := store.run(lambda connection: _cancel_some(connection, batch)):
        cancelled += some[0]
        asked += some[1]
    return cancelled, asked


def _cancel_some(connection: Connection, batch: BatchHeader) -> tuple[int, int] | None:
    """(cancelled, asked) of some hundred jobs; None when nothing is left to cancel."""
    lock_batch(connection, batch.id)
    chosen = connection.execute(
        select(jobs.c.id)
        .where(jobs.c.batch_id == batch.id, IS_UNFINISHED, ~jobs.c.cancel_requested, IS_OPENED)
        .limit(LIST_LENGTH)
    ).scalars()
    locked = lock_jobs(connection, list(chosen))
    if not locked:
        connection.execute(update(batches).where(batches.c.id == batch.id).values(cancelled_at=now_seconds()))
        return None
    waiting = [job for job in locked.values() if job.state == "ready"]
    running = [job.id for job in locked.values() if job.state == "running"]
    if waiting:
        connection.execute(
            insert(outcomes).values(finished_at=now_seconds()),
            [_cancelled_outcome(job.id, job.round, job.claim, batch.id) for job in waiting],
        )
    for ids, values in (
        ([job.id for job in waiting], {"state": "failed", "finished_at": now_seconds(), "not_before": None}),
        (running, {"cancel_requested": True}),
    ):
        if ids:
            connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(values))
    return len(waiting), len(running)


def _cancelled_outcome(job_id: str, job_round: int, claim: int, batch_id: int) -> dict[str, object]:
    return {
        "job_id": job_id,
        "round": job_round,
        "batch_id": batch_id,
        "claim": claim,
        "failure_kind": str(FailureKind.CANCELLED),
        "failure_message": "cancelled before it started",
        "is_standin": False,
    }


def _insert_or_ignore(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT ... ON CONFLICT DO NOTHING: what makes an enqueue that happens twice harmless."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()
