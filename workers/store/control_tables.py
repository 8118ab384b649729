"""Tables of what people set while jobs run. Only `workers.store` imports this; times are as in `tables`."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Integer, String, Table, Text

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

backfills = Table(
    "backfills",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("place", Text, nullable=False),
    Column("done_at", Double),
    comment="what existing rows must fill after a migration: the place reached, and when all were filled",
)
