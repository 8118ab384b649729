"""Tables of what is handed to the provider to be answered later.

Only `workers.store` imports this; times are as in `tables`.
"""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, String, Table, Text, column

from workers.store.partial_index import partial_index
from workers.store.tables import metadata

_OPEN = column("cleaned_at").is_(None)

batch_lanes = Table(
    "batch_lanes",
    metadata,
    Column("batch_id", Integer, ForeignKey("batches.id"), primary_key=True, autoincrement=False),
    Column("price", String(16), nullable=False),
    comment="what price a batch wishes, where it is not live: its jobs may wait for a cheaper lane",
)

submissions = Table(
    "submissions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account", String(255), nullable=False),
    Column("batch_id", Integer, ForeignKey("batches.id"), nullable=False),
    Column("model", String(255), nullable=False),
    Column("lane", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("requests", Integer, nullable=False),
    Column("input_tokens", Integer, nullable=False),
    Column("input_file", String(255)),
    Column("provider_id", String(255)),
    Column("output_file", String(255)),
    Column("error_file", String(255)),
    Column("lines_settled", Integer, nullable=False),
    Column("answered", Integer, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("created_at", Double),
    Column("next_look_at", Double, nullable=False),
    Column("leave_at", Double),
    Column("ended_at", Double),
    Column("ended_as", String(16)),
    Column("settled_at", Double),
    Column("cleaned_at", Double),
    Column("message", Text),
    partial_index("ix_submissions_open", "account", "next_look_at", where=_OPEN),
    Index("ix_submissions_batch", "batch_id"),
    Index("ix_submissions_ended", "account", "ended_at"),
    comment="requests handed over together; its id is the provider's marker and holds its jobs' claims",
)

lane_refusals = Table(
    "lane_refusals",
    metadata,
    Column("account", String(255), primary_key=True),
    Column("lane", String(16), primary_key=True),
    Column("model", String(255), primary_key=True),
    Column("until", Double, nullable=False),
    Column("message", Text, nullable=False),
    comment="lanes that an account does not offer, as its server said; asked again afterwards",
)
