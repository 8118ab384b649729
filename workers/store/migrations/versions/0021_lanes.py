"""Lanes: jobs that wait for a cheaper answer, what was handed to the provider for them, and what it does not offer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021_lanes"
down_revision = "0020_backfills"
locks = "claims and outcomes wait while an index of jobs and one of the ledger, both empty, are built"

_IN_LANE = sa.text("state = 'ready' AND lane IS NOT NULL")
_OF_SUBMISSION = sa.text("submission_id IS NOT NULL")
_OPEN = sa.text("cleaned_at IS NULL")


def upgrade() -> None:
    """What exists is live. Workers of an earlier release leave waiting jobs alone until they have to go live."""
    op.add_column("jobs", sa.Column("lane", sa.String(length=16), nullable=True))
    op.add_column("attempts", sa.Column("lane", sa.String(length=16), nullable=True))
    op.add_column("attempts", sa.Column("submission_id", sa.String(length=32), nullable=True))
    op.create_index(
        "ix_jobs_lane",
        "jobs",
        ["batch_id", "model", "deadline_at"],
        sqlite_where=_IN_LANE,
        postgresql_where=_IN_LANE,
    )
    op.create_index(
        "ix_attempts_submission",
        "attempts",
        ["submission_id"],
        sqlite_where=_OF_SUBMISSION,
        postgresql_where=_OF_SUBMISSION,
    )
    op.create_table(
        "batch_lanes",
        sa.Column("batch_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("price", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_batch_lanes_batch_id")),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_batch_lanes")),
        comment="what price a batch wishes, where it is not live: its jobs may wait for a cheaper lane",
    )
    op.create_table(
        "lane_refusals",
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("lane", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "lane", "model", name=op.f("pk_lane_refusals")),
        comment="lanes that an account does not offer, as its server said; asked again afterwards",
    )
    _submissions()


def _submissions() -> None:
    op.create_table(
        "submissions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("lane", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("input_file", sa.String(length=255), nullable=True),
        sa.Column("provider_id", sa.String(length=255), nullable=True),
        sa.Column("output_file", sa.String(length=255), nullable=True),
        sa.Column("error_file", sa.String(length=255), nullable=True),
        sa.Column("lines_settled", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=True),
        sa.Column("next_look_at", sa.Double(), nullable=False),
        sa.Column("leave_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("ended_as", sa.String(length=16), nullable=True),
        sa.Column("settled_at", sa.Double(), nullable=True),
        sa.Column("cleaned_at", sa.Double(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_submissions_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
        comment="requests handed over together; its id is the provider's marker and holds its jobs' claims",
    )
    op.create_index(
        "ix_submissions_open",
        "submissions",
        ["account", "next_look_at"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index("ix_submissions_batch", "submissions", ["batch_id"])
    op.create_index("ix_submissions_ended", "submissions", ["account", "ended_at"])
