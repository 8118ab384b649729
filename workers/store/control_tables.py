"""Tables of what people set while jobs run, of what they are told, and of what is found for them.

Only `workers.store` imports this; times are as in `tables`.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, ForeignKey, Index, Integer, String, Table, Text

from workers.store.tables import metadata

pauses = Table(
    "pauses",
    metadata,
    Column("scope", String(16), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("paused_at", Double, nullable=False),
    comment="what a person paused: a batch, model, account or queue by its name; nothing of it starts",
)

batch_weights = Table(
    "batch_weights",
    metadata,
    Column("batch_id", Integer, ForeignKey("batches.id"), primary_key=True, autoincrement=False),
    Column("weight", Double, nullable=False),
    comment="share of a batch in its queue, against 1 of a batch without a row",
)

model_limits = Table(
    "model_limits",
    metadata,
    Column("account", String(255), primary_key=True),
    Column("model", String(255), primary_key=True),
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", Integer),
    Column("calls_in_flight", Integer),
    Column("set_at", Double, nullable=False),
    comment="what a person allows a model, over all workers; the account '' is every account without a row of its own",
)

worker_accounts = Table(
    "worker_accounts",
    metadata,
    Column("worker_id", String(64), primary_key=True),
    Column("account", String(255), primary_key=True),
    Column("queue", String(400), nullable=False),
    Column("max_usd_per_day", Double),  # null: it keeps no cap
    comment="accounts that a worker serves beside the one in `workers`, each through a broker queue of its own",
)

backfills = Table(
    "backfills",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("place", Text, nullable=False),
    Column("done_at", Double),
    comment="what existing rows must fill after a migration: the place reached, and when all were filled",
)

notify_targets = Table(
    "notify_targets",
    metadata,
    Column("batch_id", Integer, ForeignKey("batches.id"), primary_key=True, autoincrement=False),
    Column("target", String(1000), primary_key=True),
    Column("told_at", Double),
    comment="who is told of a batch; told_at: when its last outcome was made, of which its end was told",
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("happening", String(32), nullable=False),
    Column("content", JSON, nullable=False),
    Column("target", String(1000), nullable=False),
    Column("happened_at", Double, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", Double),
    Column("sent_at", Double),
    Column("given_up_at", Double),
    Column("error", Text),
    Index("ix_notifications_next", "next_at"),
    comment="the outbox: what is to be told, written with what happened; next_at is null once sent or given up",
)

broker_epochs = Table(
    "broker_epochs",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("epoch", String(64), nullable=False),
    comment="the epoch last seen in the broker; another or none there means that its messages are gone",
)

work_comparisons = Table(
    "work_comparisons",
    metadata,
    Column("batch_id", Integer, ForeignKey("batches.id"), primary_key=True, autoincrement=False),
    Column("method", Integer, nullable=False),
    Column("ended", Integer, nullable=False),
    Column("newest_at", Double),
    Column("compared_at", Double, nullable=False),
    comment="when a batch's works were compared with each other, and of which outcomes: how many, and the newest",
)

outliers = Table(
    "outliers",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id"), primary_key=True),
    Column("batch_id", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("expected", Double, nullable=False),
    Column("neighbours", Integer, nullable=False),
    Column("share", Double, nullable=False),
    Index("ix_outliers_batch", "batch_id"),
    comment="grades that differ from those of nearly the same work; made again by the next comparison",
)
