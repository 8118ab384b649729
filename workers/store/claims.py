"""A worker's hold on a job. How it ends without an outcome: `releases`.

A claim is (worker_id, claim number). It moves a published, due job from ready to running, and nothing else does;
requests, releases and failures need the current claim, so a late or second worker can do no harm. A job that two
workers died of runs alone, so that it takes no other with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, cast, func, or_, select, true, update

from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters
from workers.contract.outcome import AttemptEnding, Failure, FailureKind, JobState
from workers.log import get_logger
from workers.store.bulk import among, among_given, given_list
from workers.store.compiled import Compiled
from workers.store.instructions import instructions_in
from workers.store.kept import kept_answer
from workers.store.provenance import asked_only
from workers.store.releases import end_jobs
from workers.store.sql import (
    IS_BATCH_OPEN,
    IS_DUE,
    IS_MODEL_OPEN,
    IS_READY,
    IS_WAITING,
    MOST_TRUSTED_LOSSES,
    PARKED_ACCOUNTS,
    PASSES_GATE,
    PROBE_JOBS,
    LockedJob,
    in_id_order,
)
from workers.store.tables import attempts, batches, contexts, jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from workers.store.ledger import JobEnding

logger = get_logger(__name__)

SPENT = (str(AttemptEnding.ANSWERED), str(AttemptEnding.FAILED), str(AttemptEnding.TIMED_OUT))
"""The endings that count against max_retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """All that a worker needs to complete a job; prompt and context never leave its process but to the provider."""

    id: str
    batch_id: int
    account: str
    """The provider account that its batch names (see `workers.contract.account`)."""
    item_id: str
    round: int
    claim: int
    schema_name: str
    schema_fingerprint: str
    prompt: str = field(repr=False)
    instructions: str | None = field(default=None, repr=False)
    model: str
    parameters: JobParameters
    context: Mapping[str, object] | None = field(default=None, repr=False)
    spent: Mapping[str, int]
    """Attempts of this round that count against max_retries, by purpose (see `AttemptOpening`)."""
    snoozes: int
    seconds_to_deadline: float | None
    """None without a deadline; may be negative."""
    runs_alone: bool = False
    """Two workers died while they held it: nothing else may be in flight in the process that runs it."""
    pseudonyms: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The prompt's pseudonyms, with the names they replace."""
    kept: JobEnding | None = field(default=None, repr=False)
    """A paid answer that an earlier claim of this round kept (see `store.kept`); an invalid one is a failure."""
    instructions_hash: str | None = None
    context_hash: str | None = None
    """Of the rubric or catalogue."""
    probes_account: bool = False
    """Its account is parked, and this job tries whether it still has to be."""

    @property
    def asked(self) -> dict[str, object]:
        """Provenance of a round that no answer decides."""
        return asked_only(
            effort=self.parameters.effort,
            instructions_hash=self.instructions_hash,
            context_hash=self.context_hash,
            pseudonyms=self.pseudonyms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDue:
    """The job is ready, but its `not_before` lies ahead by the database's clock."""

    after_seconds: float


def claim_jobs(
    connection: Connection, job_ids: Sequence[str], *, worker_id: str, accounts: Collection[str] = ()
) -> dict[str, ClaimedJob]:
    """Claim what is ready, due and neither parked nor paused; the others are absent, and their messages are done.

    With `accounts`, another account's job is never claimed, whatever queue its message came through.
    """
    claimed = (
        _claiming(connection.dialect.name, bool(accounts))
        .execute(
            connection,
            {
                "job_ids": given_list(connection, job_ids),
                "by": worker_id,
                **({"accounts": given_list(connection, accounts)} if accounts else {}),
            },
        )
        .all()
    )
    if len(claimed) < len(job_ids):
        _unpublish_waiting(connection, job_ids)
        if accounts:
            _unpublish_foreign(connection, job_ids, accounts)
    # a first claim has no request behind it
    return as_claimed(connection, claimed, with_attempts=[row.id for row in claimed if row.claim > 1])


@cache
def _claiming(dialect_name: str, of_accounts: bool) -> Compiled:  # noqa: FBT001
    startable = in_id_order(
        select(jobs.c.id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(
            among_given(jobs.c.id, bindparam("job_ids"), dialect_name),
            IS_READY,
            IS_DUE,
            jobs.c.position < batches.c.opened,
            jobs.c.publish_number > 0,
            PASSES_GATE,
            IS_BATCH_OPEN,
            IS_MODEL_OPEN,
            or_(batches.c.provider.not_in(PARKED_ACCOUNTS), jobs.c.id.in_(PROBE_JOBS)),
            among_given(batches.c.provider, bindparam("accounts"), dialect_name) if of_accounts else true(),
        )
    )
    return Compiled(
        update(jobs)
        .where(jobs.c.id.in_(startable.scalar_subquery()))
        .values(
            state=str(JobState.RUNNING),
            worker_id=bindparam("by"),
            claim=jobs.c.claim + 1,
            claimed_at=now_seconds(),
            not_before=None,
            lane=None,  # whatever waited for another one goes live now
        )
        .returning(*CLAIMED_COLUMNS)
    )


_ACCOUNT = select(batches.c.provider).where(batches.c.id == jobs.c.batch_id).correlate(jobs).scalar_subquery()
CLAIMED_COLUMNS = (
    jobs.c.id, jobs.c.batch_id, jobs.c.item_id, jobs.c.round, jobs.c.claim, jobs.c.schema_name,
    jobs.c.schema_fingerprint, jobs.c.prompt, jobs.c.model, jobs.c.context_hash,
    jobs.c.instructions_hash, jobs.c.snoozes, jobs.c.lost_claims,
    *[cast(jobs.c[name], Text).label(name) for name in ("parameters", "pseudonyms", "kept_answer")],
    (jobs.c.deadline_at - now_seconds()).label("seconds_to_deadline"),
    _ACCOUNT.label("account"),
    jobs.c.id.in_(PROBE_JOBS).label("probes_account"),
)  # fmt: skip
"""What `as_claimed` reads."""


def as_claimed(
    connection: Connection, claimed: Sequence[Any], *, with_attempts: Collection[str] | None = None
) -> dict[str, ClaimedJob]:
    """All that goes with these rows of `CLAIMED_COLUMNS`; those that no worker of this version can read end here.

    `with_attempts`: the jobs that may have been attempted in this round; None: any of them.
    """
    parameters = _parameters(connection, claimed)
    readable = [row for row in claimed if row.id in parameters]
    spent = _attempts_spent(connection, [row.id for row in readable] if with_attempts is None else with_attempts)
    shared = {each for row in readable for each in (row.context_hash, row.instructions_hash) if each}
    found_contexts = _contexts(connection, shared)
    return {
        row.id: ClaimedJob(
            id=row.id,
            batch_id=row.batch_id,
            account=row.account,
            item_id=row.item_id,
            round=row.round,
            claim=row.claim,
            schema_name=row.schema_name,
            schema_fingerprint=row.schema_fingerprint,
            prompt=row.prompt,
            instructions=instructions_in(found_contexts.get(row.instructions_hash)),
            model=row.model,
            parameters=parameters[row.id],
            context=found_contexts.get(row.context_hash),
            spent=spent.get(row.id, {}),
            snoozes=row.snoozes,
            seconds_to_deadline=row.seconds_to_deadline,
            runs_alone=row.lost_claims > MOST_TRUSTED_LOSSES,
            probes_account=bool(row.probes_account),
            pseudonyms=json.loads(row.pseudonyms) if row.pseudonyms else {},
            kept=kept_answer(json.loads(row.kept_answer), row.round) if row.kept_answer else None,
            instructions_hash=row.instructions_hash,
            context_hash=row.context_hash,
        )
        for row in readable
    }


def _parameters(connection: Connection, claimed: Sequence[Row[Any]]) -> dict[str, JobParameters]:
    """Of every job that this version can read; the others end here, for no worker of this version ever can."""
    parameters: dict[str, JobParameters] = {}
    for row in claimed:
        try:
            parameters[row.id] = _read_parameters(row.parameters)
        except (TypeError, InvalidInput) as error:
            held = LockedJob(
                id=row.id,
                batch_id=row.batch_id,
                round=row.round,
                claim=row.claim,
                state=JobState.RUNNING,
                worker_id=None,
                cancel_requested=False,
                lost_claims=row.lost_claims,
            )
            end_jobs(connection, [held], _unreadable(json.loads(row.parameters), error))
    return parameters


@lru_cache(maxsize=64)
def _read_parameters(text: str) -> JobParameters:
    """Most jobs of a batch share them, to the letter."""
    return JobParameters(**json.loads(text))


def _unreadable(parameters: object, error: Exception) -> Failure:
    known = set(JobParameters.__slots__)
    unknown = sorted(name for name in parameters if name not in known) if isinstance(parameters, dict) else []
    what = f"parameter {', '.join(unknown)[:100]!r} is" if unknown else f"parameters are ({str(error)[:100]})"
    return Failure(
        kind=FailureKind.INTERNAL,
        message=f"this job's {what} unknown to this worker: a newer gradequeue enqueued it; upgrade the workers, then "
        "run: gradequeue retry",
    )


def not_due_yet(connection: Connection, job_ids: Sequence[str], *, accounts: Collection[str] = ()) -> dict[str, NotDue]:
    """Those whose message came before their time: a countdown ends by the clock of one host, and clocks differ."""
    rows = connection.execute(
        select(jobs.c.id, (jobs.c.not_before - now_seconds()).label("after_seconds"))
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(
            among(connection, jobs.c.id, job_ids),
            IS_WAITING,
            jobs.c.not_before > now_seconds(),
            batches.c.provider.in_(accounts) if accounts else true(),
        )
    )
    return {row.id: NotDue(after_seconds=max(row.after_seconds, 0.0)) for row in rows}


def _unpublish_waiting(connection: Connection, job_ids: Sequence[str]) -> None:
    """The message of a job that may not start is dropped: the feeder publishes it again once it may."""
    waiting_batches = select(batches.c.id).where(or_(batches.c.provider.in_(PARKED_ACCOUNTS), ~IS_BATCH_OPEN))
    connection.execute(
        update(jobs)
        .where(
            among(connection, jobs.c.id, job_ids),
            IS_READY,
            or_(jobs.c.batch_id.in_(waiting_batches), ~PASSES_GATE, ~IS_MODEL_OPEN),
        )
        .values(published_at=None)
    )


def _unpublish_foreign(connection: Connection, job_ids: Sequence[str], accounts: Collection[str]) -> None:
    """Another account's job came through a queue of these: the feeder sends it again, to its own."""
    foreign_batches = select(batches.c.id).where(batches.c.provider.not_in(accounts))
    dropped = connection.execute(
        update(jobs)
        .where(among(connection, jobs.c.id, job_ids), IS_READY, jobs.c.batch_id.in_(foreign_batches))
        .values(published_at=None)
        .returning(jobs.c.id)
    ).scalars()
    for job_id in dropped:
        logger.warning("broker.foreign_message_dropped", job=job_id, serves=sorted(accounts))


def _attempts_spent(connection: Connection, job_ids: Collection[str]) -> dict[str, dict[str, int]]:
    if not job_ids:
        return {}
    rows = connection.execute(
        select(attempts.c.job_id, attempts.c.purpose, func.count().label("spent"))
        .join(jobs, (jobs.c.id == attempts.c.job_id) & (jobs.c.round == attempts.c.round))
        .where(among(connection, attempts.c.job_id, job_ids), attempts.c.ending.in_(SPENT))
        .group_by(attempts.c.job_id, attempts.c.purpose)
    )
    spent: dict[str, dict[str, int]] = {}
    for row in rows:
        spent.setdefault(row.job_id, {})[row.purpose] = row.spent
    return spent


def _contexts(connection: Connection, hashes: set[str]) -> dict[str, Mapping[str, object]]:
    if not hashes:
        return {}
    rows = connection.execute(select(contexts.c.hash, contexts.c.content).where(contexts.c.hash.in_(hashes)))
    return {row.hash: row.content for row in rows}
