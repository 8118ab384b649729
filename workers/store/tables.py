"""The store's tables: jobs, attempts, outcomes and what keeps them moving.

Only `workers.store` imports this. Times are seconds since the epoch by the database's clock.

A job's state, and who moves it:

    ready      in:  enqueue; `retry` (from failed, round n+1); a release or snooze by its worker; the sweeper or the
                    heartbeat, which free a dead or stranded claim
               out: a worker's claim -> running; cancel -> failed; a late paid answer -> succeeded
    running    in:  a claim, which writes (worker_id, claim number) and needs a published, due row of an open account
               out: the writer -> succeeded or failed; release, snooze, sweeper, heartbeat -> ready
    succeeded  in:  the writer, from any claim of the unfinished round.  out: never
    failed     in:  the writer, from the current claim alone; cancel, from ready; freeing a claim whose job was to be
                    cancelled or that was left `unknown` ten times.  out: `retry` -> ready

A job that is to be cancelled (cancel_requested) is running: whatever frees it ends it instead. `staging` (position not
below the batch's `opened`), `deferred` (not_before in the future) and `parked` (its account is) are derived, never
stored. `prompt` is null once the job was purged, which happens to finished ones alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_UNPUBLISHED = (column("state") == "ready") & column("published_at").is_(None)
_RUNNING = column("state") == "running"
_WAITING = (column("state") == "ready") & column("published_at").is_not(None)
_DEFERRED = (column("state") == "ready") & column("not_before").is_not(None)

batches = Table(
    "batches",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("provider", String(255), nullable=False),
    Column("queue", String(32), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("opened", Integer, nullable=False),
    Column("origin", JSON, nullable=False),
    Column("cancelled_at", Double),
    comment="opened: jobs at a position below it may be published; those above are still staging",
)

contexts = Table(
    "contexts",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("content", JSON, nullable=False),
    comment="what a schema is built from beside its name: a rubric, an error catalogue",
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("batch_id", Integer, ForeignKey("batches.id"), nullable=False),
    Column("item_id", String(255), nullable=False),
    Column("position", Integer, nullable=False),
    Column("enqueued_at", Double, nullable=False),
    Column("schema_name", String(255), nullable=False),
    Column("schema_fingerprint", String(64), nullable=False),
    Column("context_hash", String(64), ForeignKey("contexts.hash")),
    Column("prompt", Text),
    Column("prompt_hash", String(64), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("model", String(255), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("round", Integer, nullable=False),
    Column("claim", Integer, nullable=False),
    Column("worker_id", String(64)),
    Column("claimed_at", Double),
    Column("not_before", Double),
    Column("published_at", Double),
    Column("publish_number", Integer, nullable=False),
    Column("snoozes", Integer, nullable=False),
    Column("deadline_at", Double),
    Column("finished_at", Double),
    Column("cancel_requested", Boolean, nullable=False),
    UniqueConstraint("batch_id", "item_id"),
    UniqueConstraint("batch_id", "position"),
    Index(
        "ix_jobs_unpublished",
        "batch_id",
        "model",
        "position",
        "not_before",  # passing over the deferred reads the index alone
        sqlite_where=_UNPUBLISHED,
        postgresql_where=_UNPUBLISHED,
    ),
    Index("ix_jobs_waiting", "batch_id", "published_at", sqlite_where=_WAITING, postgresql_where=_WAITING),
    Index("ix_jobs_running", "worker_id", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
    Index("ix_jobs_deferred", "batch_id", "not_before", sqlite_where=_DEFERRED, postgresql_where=_DEFERRED),
    Index("ix_jobs_batch_state", "batch_id", "state", "position"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("job_id", String(32), ForeignKey("jobs.id"), nullable=False),
    Column("batch_id", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("claim", Integer, nullable=False),
    Column("worker_id", String(64), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("model", String(255), nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("closed_at", Double),
    Column("ending", String(16)),
    Column("status_code", Integer),
    Column("message", Text),
    Column("wait_seconds", Double),
    Column("parameters_sent", JSON),
    Column("request_id", String(255)),
    Column("model_answered", String(255)),
    Column("system_fingerprint", String(255)),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("reasoning_tokens", Integer, nullable=False),
    Column("cost_usd", Double),
    Index("ix_attempts_job", "job_id", "round"),
    Index("ix_attempts_batch", "batch_id", "ending"),
    comment="one row per request to the provider; ending is null while it is in flight",
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id"), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("batch_id", Integer, nullable=False),
    Column("claim", Integer, nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("result", Text),
    Column("failure_kind", String(32)),
    Column("failure_message", Text),
    Column("raw_output", Text),
    Column("validation_errors", JSON),
    Column("refusal", Text),
    Column("model_answered", String(255)),
    Column("is_standin", Boolean, nullable=False),
    Index("ix_outcomes_batch", "batch_id", "failure_kind"),
    comment="never overwritten: one row per job and round; result is valid JSON, or failure_kind says why not",
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("hostname", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("queues", String(255), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    Column("stopped_at", Double),
    Column("budgets", JSON),
    comment="budgets: the provider's limits as this worker last saw them, for people",
)

parks = Table(
    "parks",
    metadata,
    Column("account", String(255), primary_key=True),
    Column("state", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("parked_at", Double, nullable=False),
    comment="accounts whose jobs wait until the operator resumes them; account is the provider's name",
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("expires_at", Double, nullable=False),
)

broker_epochs = Table(
    "broker_epochs",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("epoch", String(64), nullable=False),
    comment="the epoch last seen in the broker; another or none there means that its messages are gone",
)


class now_seconds(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it compiles to
    """Seconds since the epoch by the database's own clock, with sub-second precision."""

    type = Double()
    inherit_cache = True


@compiles(now_seconds, "sqlite")
def _now_on_sqlite(_element: now_seconds, _compiler: SQLCompiler, **_options: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now_seconds, "postgresql")
def _now_on_postgresql(_element: now_seconds, _compiler: SQLCompiler, **_options: object) -> str:
    return "extract(epoch from clock_timestamp())::double precision"
