"""Enqueue: how jobs come into being.

A batch is filled in chunks while its new jobs are *staging* (position at or above `opened`: nobody publishes them),
and opened with the last one. A job's key is (batch, item id). The same key with the same content is the job that
exists; with other content it is refused. What an enqueue staged before it died is removed by the next one.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from workers.contract.errors import ConflictingJob, InvalidInput, ServiceUnavailable
from workers.contract.job import JobSpec, check_name, content_hash
from workers.contract.origin import BatchOrigin
from workers.contract.outcome import JobState
from workers.contract.twins import twin_key
from workers.log import get_logger
from workers.store.bulk import among
from workers.store.deadlines import move_deadlines
from workers.store.gates import change_gate, open_gate
from workers.store.job_rows import insert_jobs, new_row
from workers.store.lanes.placing import place_jobs, place_new
from workers.store.leases import drop_lease, lease_holder, take_lease
from workers.store.left_out import note_what_is_missing
from workers.store.overviews import BatchHeader, find_batch
from workers.store.process_mark import has_died, process_mark
from workers.store.renewal import renew_jobs
from workers.store.sql import LIST_LENGTH, in_lists, lock_batch, upsert
from workers.store.tables import batches, contexts, flags, jobs, now_seconds, outcomes
from workers.store.twins import end_followers, lock_leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from workers.contract.outlook import Outlook
    from workers.store.engine import Store
    from workers.store.gates import GateRequest

logger = get_logger(__name__)

CHUNK = 1000
"""Rows per transaction: large enough to amortise the commit, small enough that other writers wait milliseconds."""
LEASE_SECONDS = 60.0
"""An enqueue that commits no chunk for so long has died, or its input has stalled."""
LONGEST_WAIT_SECONDS = 600.0
"""A hundred thousand jobs take a minute; a caller that waits ten seconds gets a note."""
OCCUPIED_POLL_SECONDS = 0.05
SAY_AFTER_SECONDS = 1.0
"""Two clicks into one batch meet for less; who waits for longer should read why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A checked job, ready for its row."""

    spec: JobSpec
    schema_fingerprint: str
    context_hash: str | None = None
    instructions_hash: str | None = None
    twin_key: str | None = None
    """Jobs of one batch with the same key are graded once; None: this one is graded by itself."""

    def with_twin_key(self) -> NewJob:
        """The same, to be graded once with its twins."""
        if self.spec.left_out:
            return self
        key = twin_key(self.spec, schema_fingerprint=self.schema_fingerprint, context_hash=self.context_hash)
        return replace(self, twin_key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueReport:
    """What an enqueue did: every job given is one of the two."""

    batch: BatchHeader
    new: int
    existing: int
    renewed: int = 0
    """Of the existing: jobs whose work is another now, which begin another round."""
    outlooks: tuple[Outlook, ...] = ()
    """By model, what would be late, when the jobs were to start by a moment; empty when they were not."""


def open_batch(
    store: Store,
    *,
    name: str,
    provider: str,
    queue: str,
    origin: BatchOrigin | None = None,
    gate: GateRequest | None = None,
) -> BatchHeader:
    """The batch of this name, made if need be. Raises `InvalidInput` when it belongs to another provider.

    `gate`: what may start of it; without one a new batch is proven, and has neither pilot nor cap.
    """
    check_name("batch name", name)
    with store.transaction() as connection:
        new_id_of_batch = connection.execute(
            upsert(
                connection,
                batches,
                key={"name": name},
                new={
                    "provider": provider,
                    "queue": queue,
                    "created_at": now_seconds(),
                    "opened": 0,
                    "origin": (origin or BatchOrigin()).as_json(),
                },
            ).returning(batches.c.id)
        ).scalar()
        header = find_batch(connection, name)
        if header.provider != provider:
            raise InvalidInput(
                f"batch {name!r} was made for provider {header.provider!r}, not {provider!r}; choose another --name"
            )
        if gate is not None:
            open_gate(connection, header.id, gate, batch=name, is_new=new_id_of_batch is not None)
        if header.queue != queue:
            connection.execute(update(batches).where(batches.c.id == header.id).values(queue=queue))
    return replace(header, queue=queue)


def save_context(store: Store, *, context_hash: str, content: Mapping[str, object]) -> None:
    """Keep a rubric, a catalogue or instructions once, by its hash."""
    with store.transaction() as connection:
        connection.execute(upsert(connection, contexts, key={"hash": context_hash}, new={"content": dict(content)}))


def add_jobs(
    store: Store,
    batch: BatchHeader,
    new_jobs: Iterable[NewJob],
    *,
    on_chunk: Callable[[int, int], None] | None = None,
    renews: bool = False,
    gate: GateRequest | None = None,
) -> EnqueueReport:
    """Commit the jobs in chunks while they are staging, then open the batch. Idempotent; raises `ConflictingJob`.

    The cap and the weight of `gate` come into force with the last chunk, so that a refused enqueue changes neither.

    One enqueue at a time fills a batch; another one waits for it. Jobs that fit in one chunk cost one transaction.
    `on_chunk(new, existing)` gets the counts so far. With `renews`, a job that exists with other content begins
    another round with the new one, instead of a conflict; one that had nothing to grade always does.
    """
    return _Filling(store, batch, on_chunk, renews, gate).fill(new_jobs)


class _Occupied(Exception):  # noqa: N818 - it is no error yet
    """Another enqueue fills the batch at this moment."""


@dataclass(slots=True)
class _Filling:
    """One enqueue of one batch, under a lease that each chunk renews."""

    store: Store
    batch: BatchHeader
    on_chunk: Callable[[int, int], None] | None
    renews: bool
    gate: GateRequest | None
    holder: str = field(default_factory=process_mark)
    position: int = -1
    """Of the next new job; negative before the first chunk."""
    new: int = 0
    existing: int = 0
    renewed: int = 0

    def fill(self, new_jobs: Iterable[NewJob]) -> EnqueueReport:
        remaining = iter(new_jobs)
        chunk = list(islice(remaining, CHUNK))
        try:
            while True:
                following = list(islice(remaining, CHUNK))
                self._store_chunk(chunk, is_last=not following)
                if not following:
                    return EnqueueReport(batch=self.batch, new=self.new, existing=self.existing, renewed=self.renewed)
                chunk = following
        except BaseException:
            self._give_up()
            raise

    def _store_chunk(self, chunk: Sequence[NewJob], *, is_last: bool) -> None:
        if self.position < 0:
            self._wait_for_the_others()
        added, renewed = self.store.run(lambda connection: self._write(connection, chunk, is_last=is_last))
        self.position += added
        self.renewed += renewed
        self.new += added
        self.existing += len(chunk) - added
        if self.on_chunk is not None:
            self.on_chunk(self.new, self.existing)

    def _wait_for_the_others(self) -> None:
        began_at = time.monotonic()
        deadline, say_at = began_at + LONGEST_WAIT_SECONDS, began_at + SAY_AFTER_SECONDS
        while True:
            try:
                while (left := self.store.run(self._discard_staged)) is None:
                    pass
            except _Occupied:
                if time.monotonic() > deadline:
                    raise ServiceUnavailable(
                        "store", f"another command is still filling batch {self.batch.name!r}; try again later"
                    ) from None
                if time.monotonic() > say_at:
                    say_at = deadline
                    logger.warning(
                        "enqueue.waiting",
                        batch=self.batch.name,
                        reason="another command is filling this batch; if it was killed on another machine, this one "
                        f"continues after {LEASE_SECONDS:.0f} s",
                    )
                time.sleep(OCCUPIED_POLL_SECONDS)
            else:
                self.position = left
                return

    def _discard_staged(self, connection: Connection) -> int | None:
        """Remove some of what an enqueue that died had staged; the first free position when nothing is left."""
        self._hold(connection)
        opened: int = connection.execute(select(batches.c.opened).where(batches.c.id == self.batch.id)).scalar_one()
        above = select(jobs.c.id).where(jobs.c.batch_id == self.batch.id, jobs.c.position >= opened)
        staged = list(connection.execute(above.order_by(jobs.c.id).limit(LIST_LENGTH)).scalars())
        if not staged:
            return opened
        for table in (flags, outcomes):  # a follower may have ended with a leader that was here before
            connection.execute(delete(table).where(table.c.job_id.in_(staged)))
        connection.execute(delete(jobs).where(jobs.c.id.in_(staged)))
        return None

    def _hold(self, connection: Connection) -> None:
        lock_batch(connection, self.batch.id)
        if take_lease(connection, self._lease, holder=self.holder, seconds=LEASE_SECONDS):
            return
        other = lease_holder(connection, self._lease)
        if other is None or not has_died(other):
            raise _Occupied
        drop_lease(connection, self._lease, holder=other)
        take_lease(connection, self._lease, holder=self.holder, seconds=LEASE_SECONDS)

    @property
    def _lease(self) -> str:
        return f"enqueue:{self.batch.id}"

    def _write(self, connection: Connection, chunk: Sequence[NewJob], *, is_last: bool) -> tuple[int, int]:
        try:
            self._hold(connection)
        except _Occupied:
            raise ServiceUnavailable(
                "store", f"the enqueue of {self.batch.name!r} stood still for too long; run the same command again"
            ) from None
        if is_last and self.gate is not None:
            change_gate(connection, self.batch.id, self.gate)  # before jobs are locked
        added, renewed = _add_chunk(connection, self.batch, chunk, self.position, renews=self.renews)
        place_new(connection, self.batch.id, self.gate, since=self.position, count=self.new + added, is_last=is_last)
        if is_last:
            connection.execute(
                update(batches).where(batches.c.id == self.batch.id).values(opened=self.position + added)
            )
            drop_lease(connection, self._lease, holder=self.holder)
        return added, renewed

    def _give_up(self) -> None:
        """Let the corrected command in at once; what is staged is removed by it."""
        with suppress(ServiceUnavailable):
            self.store.run(lambda connection: drop_lease(connection, self._lease, holder=self.holder))


def _add_chunk(
    connection: Connection, batch: BatchHeader, chunk: Sequence[NewJob], position: int, *, renews: bool
) -> tuple[int, int]:
    """How many of the chunk are new, and how many got other work."""
    hashes: dict[str, str] = {}
    fresh: dict[str, NewJob] = {}
    for job in chunk:
        job_hash = content_hash(job.spec, schema_fingerprint=job.schema_fingerprint, provider=batch.provider)
        if hashes.setdefault(job.spec.id, job_hash) != job_hash:
            raise _conflict(job.spec.id, batch)
        fresh.setdefault(job.spec.id, job)
    other: dict[str, NewJob] = {}
    moments: dict[str, float] = {}
    for known in _existing(connection, batch, list(hashes)):
        job = fresh.pop(known.item_id)
        if hashes[known.item_id] != known.content_hash:
            if not renews and not known.is_left_out:
                raise _conflict(known.item_id, batch, is_same_work=known.prompt_hash == job.spec.prompt_hash)
            other[known.item_id] = job
        elif (moment := job.spec.parameters.deadline_at) is not None:
            moments[known.item_id] = moment
    move_deadlines(connection, batch.id, moments)
    rows = [new_row(job, batch, hashes[job.spec.id], position + offset) for offset, job in enumerate(fresh.values())]
    leaders = _follow_leaders(connection, batch, rows)
    if rows:
        insert_jobs(connection, rows)
    specs = {str(row["id"]): (1, job.spec) for row, job in zip(rows, fresh.values(), strict=True)}
    note_what_is_missing(connection, batch.id, specs)
    end_followers(connection, leaders)  # of those that have ended before
    other_rows = {item_id: new_row(job, batch, hashes[item_id], position) for item_id, job in other.items()}
    renewed = renew_jobs(connection, batch.id, other_rows, {item_id: job.spec for item_id, job in other.items()})
    if renewed:
        place_jobs(connection, batch.id, jobs.c.item_id.in_(list(other)), count=renewed)
    return len(rows), renewed


def _follow_leaders(connection: Connection, batch: BatchHeader, rows: Sequence[dict[str, object]]) -> set[str]:
    """Let rows follow the first job with their key, in the batch or among them; returns the leaders in the batch."""
    keys = {str(row["twin_key"]) for row in rows if row["twin_key"] is not None}
    known = lock_leaders(connection, batch.id, keys) if keys else {}
    leaders = dict(known)
    followed: set[str] = set()
    for row in rows:
        if row["twin_key"] is None:
            continue
        leader_id = leaders.setdefault(str(row["twin_key"]), str(row["id"]))
        if leader_id != row["id"]:
            row |= {"leader_id": leader_id, "state": JobState.FOLLOWING}
            followed.add(leader_id)
    return followed & set(known.values())


def _conflict(item_id: str, batch: BatchHeader, *, is_same_work: bool = False) -> ConflictingJob:
    what = "another prompt, schema, model or parameters; --update grades the new work and keeps the earlier grade"
    if is_same_work:
        what = (
            "the same work, and another rubric, instructions, schema, model or parameters; `gradequeue rescore` "
            "follows changed points, levels or weights without a call; `gradequeue regrade` asks the model again"
        )
    return ConflictingJob(f"job {item_id!r} exists in batch {batch.name!r} with {what}; another --name grades all anew")


def _existing(connection: Connection, batch: BatchHeader, item_ids: list[str]) -> Iterator[Row[Any]]:
    for some in in_lists(item_ids):
        yield from connection.execute(
            select(
                jobs.c.item_id, jobs.c.content_hash, jobs.c.prompt_hash, (jobs.c.prompt == "").label("is_left_out")
            ).where(jobs.c.batch_id == batch.id, among(connection, jobs.c.item_id, some))
        )
