"""The trigger that looks for jobs whose round has begun: its cost per row is the same for one row and for thousands.

It joined the rows before and after a statement. PostgreSQL plans that join once for each session, by the number of rows
of the first statement, and a nested loop that is right for one row compares 500 rows 250,000 times.
"""

# ruff: noqa: S608 - names of tables and columns alone, all of them from this file

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024_linear_rounds"
down_revision = "0023_floor"

# sets are compared by hashing or sorting, whatever the plan was made for
_BEGAN = "(SELECT id, batch_id, round FROM removed EXCEPT SELECT id, batch_id, round FROM added) r"
_FAILURES = (
    "SELECT r.batch_id AS batch_id, 'failure' AS what, o.failure_kind AS name"
    " FROM outcomes o WHERE o.job_id = r.id AND o.round = r.round AND o.failure_kind IS NOT NULL"
)
_FLAGS = (
    "SELECT DISTINCT r.batch_id AS batch_id, 'flag' AS what, f.kind AS name FROM flags f"
    " WHERE f.job_id = r.id AND f.round = r.round AND f.round <> 0 AND NOT EXISTS"
    " (SELECT 1 FROM flags g WHERE g.job_id = f.job_id AND g.kind = f.kind AND g.round = 0)"
)


def upgrade() -> None:
    """Replaces the function alone: nobody waits, and statements under way end with the one they began with."""
    if op.get_bind().dialect.name == "sqlite":  # its trigger sees one row
        return
    left = " UNION ALL ".join(
        f"SELECT l.batch_id, l.what, l.name, -1 AS items FROM {_BEGAN} CROSS JOIN LATERAL ({found}) l"
        for found in (_FAILURES, _FLAGS)
    )
    op.execute(
        sa.text(
            "CREATE OR REPLACE FUNCTION tally_rounds() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN"
            f" IF EXISTS (SELECT 1 FROM {_BEGAN}) THEN"
            " INSERT INTO finding_tallies AS t (batch_id, what, name, shard, items, released, changed)"
            " SELECT batch_id, what, name, pg_backend_pid(), sum(items), 0, 0"
            f" FROM ({left}) x GROUP BY batch_id, what, name"
            " ON CONFLICT (batch_id, what, name, shard) DO UPDATE SET items = t.items + excluded.items;"
            " END IF; RETURN NULL; END $body$"
        )
    )
