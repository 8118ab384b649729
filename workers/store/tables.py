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
                    cancelled, or that killed or left its workers too often.  out: `retry` -> ready
    following  in:  enqueue, for a job whose work another one of the batch (`leader_id`) has too; `retry`
               out: whatever ends its leader -> what the leader ended as. Nobody publishes or claims it

A job that is to be cancelled (cancel_requested) is running: whatever frees it ends it instead. `staging` (position not
below the batch's `opened`), `deferred` (not_before in the future) and `parked` (its account is) are derived, never
stored. `lost_claims` counts the workers that died while they held the job in this round. `prompt` is null once the job
was purged, which happens to finished ones alone.
"""

from __future__ import annotations

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
    event,
)

from workers.contract.outcome import JobState
from workers.store.clock import now_seconds as now_seconds  # noqa: PLC0414 - most who name a table name its clock too
from workers.store.partial_index import know_conditions, partial_index

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
event.listen(metadata, "before_create", know_conditions)

_STATE = column("state", String)
_UNPUBLISHED = (_STATE == JobState.READY) & column("published_at").is_(None)
_RUNNING = _STATE == JobState.RUNNING
_WAITING = (_STATE == JobState.READY) & column("published_at").is_not(None)
_SUSPECT = (_STATE == JobState.READY) & (column("lost_claims") > 1)
_IS_LEADER = column("leader_id").is_(None) & column("twin_key").is_not(None)
_IS_FOLLOWER = column("leader_id").is_not(None)
_FOLLOWING = _STATE == JobState.FOLLOWING
_OF_LATER_CLAIM = column("claim") > 1
_IN_LANE = (_STATE == JobState.READY) & column("lane").is_not(None)
_OF_SUBMISSION = column("submission_id").is_not(None)
_DEFERRED = (_STATE == JobState.READY) & column("not_before").is_not(None)
_REPAIR = column("purpose") == "repair"

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
    Column("release_rule", String(16)),
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
    Column("instructions_hash", String(64)),
    Column("prompt", Text),
    Column("prompt_hash", String(64), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("model", String(255), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("pseudonyms", JSON(none_as_null=True)),
    Column("kept_answer", JSON(none_as_null=True)),  # paid for; its round needs another request
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
    Column("lost_claims", Integer, nullable=False, server_default="0"),
    Column("twin_key", String(32)),
    Column("leader_id", String(32)),
    Column("lane", String(16)),  # null: live
    UniqueConstraint("batch_id", "item_id"),
    UniqueConstraint("batch_id", "position"),
    # passing over the deferred reads the index alone
    partial_index("ix_jobs_unpublished", "batch_id", "model", "position", "not_before", where=_UNPUBLISHED),
    partial_index("ix_jobs_waiting", "batch_id", "published_at", where=_WAITING),
    partial_index("ix_jobs_running", "worker_id", where=_RUNNING),
    partial_index("ix_jobs_deferred", "batch_id", "not_before", where=_DEFERRED),
    partial_index("ix_jobs_suspect", "batch_id", "position", where=_SUSPECT),
    partial_index("ix_jobs_leaders", "batch_id", "twin_key", where=_IS_LEADER),
    partial_index("ix_jobs_followers", "batch_id", where=_IS_FOLLOWER),
    partial_index("ix_jobs_following", "leader_id", where=_FOLLOWING),
    Index("ix_jobs_batch_state", "batch_id", "state", "position"),
    partial_index("ix_jobs_lane", "batch_id", "model", "deadline_at", where=_IN_LANE),
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
    Column("cache_write_tokens", Integer, nullable=False, server_default="0"),
    Column("service_tier", String(32)),
    Column("cost_usd", Double),
    Column("surcharge_usd", Double),  # part of cost_usd that a short prompt would not have cost
    Column("held_usd", Double),  # against spend caps: the most it can cost until its cost is known; null: no price
    Column("lane", String(16)),  # null: live
    Column("submission_id", String(32)),
    Index("ix_attempts_job", "job_id", "round"),
    Index("ix_attempts_batch", "batch_id", "ending"),
    partial_index("ix_attempts_repeats", "batch_id", where=_OF_LATER_CLAIM),
    partial_index("ix_attempts_submission", "submission_id", where=_OF_SUBMISSION),
    partial_index("ix_attempts_repairs", "batch_id", "job_id", "round", where=_REPAIR),
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
    Column("same_as", String(32)),
    Column("provenance", JSON),
    Column("points", Double),  # the number that summarises the result, so that lists and charts need not read it
    Index("ix_outcomes_batch", "batch_id", "failure_kind"),
    Index("ix_outcomes_finished", "batch_id", "finished_at"),
    comment="never overwritten: one row per job and round; result is valid JSON, or failure_kind says why not",
)

flags = Table(
    "flags",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id"), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("batch_id", Integer, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("path", Text, nullable=False),
    Column("message", Text, nullable=False),
    Index("ix_flags_batch", "batch_id", "kind"),
    comment="what of an outcome a person should look at; written with it, numbered from 0",
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
    Column("provider", String(255)),
    Column("max_usd_per_day", Double),  # null: it keeps no cap
    comment="budgets: the provider's limits as this worker last saw them, for people",
)

parks = Table(
    "parks",
    metadata,
    Column("account", String(255), primary_key=True),
    Column("state", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("parked_at", Double, nullable=False),
    Column("probed_at", Double),
    Column("probe_job_id", String(32)),
    comment="accounts whose jobs wait until the operator resumes them; account is the provider's name",
)

batch_gates = Table(
    "batch_gates",
    metadata,
    Column("batch_id", Integer, ForeignKey("batches.id"), primary_key=True, autoincrement=False),
    Column("proven_at", Double),
    Column("pilot_since", Double),
    Column("max_usd", Double),
    Column("held_usd", Double, nullable=False),
    Column("closed_at", Double),
    Column("closed_by", String(32)),
    Column("message", Text),
    Column("heard_at", Double),
    comment="what may start of a batch; an older release's batch has no row: proven, without pilot, cap or closing",
)

pilot_jobs = Table(
    "pilot_jobs",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id"), primary_key=True),
    Column("batch_id", Integer, nullable=False),
    Index("ix_pilot_jobs_batch", "batch_id"),
    comment="the jobs that may start while their batch is a pilot",
)

day_gates = Table(
    "day_gates",
    metadata,
    Column("provider", String(255), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("ends_at", Double, nullable=False),
    Column("max_usd", Double, nullable=False),
    Column("held_usd", Double, nullable=False),
    Column("closed_at", Double),
    Column("message", Text),
    comment="spending of one provider on one day, UTC, by the day on which a request was opened",
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("expires_at", Double, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("batch_id", Integer, ForeignKey("batches.id"), nullable=False),
    Column("job_id", String(32), ForeignKey("jobs.id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("decided_by", String(255), nullable=False),
    Column("decided_at", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("result", Text),
    Column("source", String(255)),
    Index("ix_decisions_job", "job_id", "id"),
    Index("ix_decisions_batch", "batch_id", "id"),
    comment="what people decided about grades: appended, never changed; a purge removes result and reason",
)

standings = Table(
    "standings",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id"), primary_key=True),
    Column("batch_id", Integer, nullable=False),
    Column("last_id", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("decided_by", String(255)),
    Column("round", Integer),
    Column("points", Double),
    Column("released", Boolean, nullable=False),
    Column("changed", Boolean, nullable=False),
    Index("ix_standings_batch", "batch_id", "state"),
    comment="what follows from an item's decisions, written with them; can be made again from them",
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("by", String(255), nullable=False),
    Column("action", String(32), nullable=False),
    Column("batch", String(255), nullable=False),
    Column("detail", Text, nullable=False),
    comment="what people did with a batch beside deciding: downloads, rules",
)

store_identity = Table(
    "store_identity",
    metadata,
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("id", String(32), nullable=False),
    Column("works_from", String(32)),
    comment="one row: what tells this store from others that use the same broker",
)
