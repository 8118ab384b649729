"""Standings and points: what lists and charts read instead of every result and decision."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from workers.contract.headline import headline

revision = "0012_standings"
down_revision = "0011_provenance"

_PAGE = 500


def upgrade() -> None:
    """Points of stored results are filled in here; standings are made when a batch's page is first read."""
    op.add_column("outcomes", sa.Column("points", sa.Double(), nullable=True))
    op.create_table(
        "standings",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("last_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("decided_by", sa.String(length=255), nullable=True),
        sa.Column("round", sa.Integer(), nullable=True),
        sa.Column("points", sa.Double(), nullable=True),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("changed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_standings_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_standings")),
        comment="what follows from an item's decisions, written with them; can be made again from them",
    )
    op.create_index("ix_standings_batch", "standings", ["batch_id", "state"])
    _fill_points()


def _fill_points() -> None:
    """A page at a time, in the order of the primary key."""
    connection = op.get_bind()
    outcomes = sa.table("outcomes", *map(sa.column, ("job_id", "round", "result", "points")))
    last = ("", 0)
    while True:
        page = connection.execute(
            sa.select(outcomes.c.job_id, outcomes.c.round, outcomes.c.result)
            .where(
                outcomes.c.result.is_not(None),
                (outcomes.c.job_id > last[0]) | ((outcomes.c.job_id == last[0]) & (outcomes.c.round > last[1])),
            )
            .order_by(outcomes.c.job_id, outcomes.c.round)
            .limit(_PAGE)
        ).all()
        if not page:
            return
        found = [(row.job_id, row.round, headline(json.loads(row.result))) for row in page]
        rows = [{"job": job_id, "at": at, "points_now": points} for job_id, at, points in found if points is not None]
        if rows:
            connection.execute(
                sa.update(outcomes)
                .where(outcomes.c.job_id == sa.bindparam("job"), outcomes.c.round == sa.bindparam("at"))
                .values(points=sa.bindparam("points_now")),
                rows,
            )
        last = (page[-1].job_id, page[-1].round)
