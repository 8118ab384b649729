"""Tallies: counts and sums by batch, which triggers keep with every change, whichever release makes it."""

# ruff: noqa: S608 - names of tables and columns alone, all of them from this file

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0013_tallies"
down_revision = "0012_standings"
locks = "claims and outcomes wait while every job, request and outcome is counted: about 20 s for a million"

_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_COLUMNS = {
    "job_tallies": (("state",), ("jobs", "followers", "deferred")),
    "attempt_tallies": (("ending",), ("requests", "priced", "cost_picos", "held", "held_picos", *_TOKENS)),
    "finding_tallies": (("what", "name"), ("items", "released", "changed")),
}
_COMMENTS = {
    "job_tallies": "jobs by state, staging ones too; the sum of all shards holds",
    "attempt_tallies": "the ledger by ending, `open` in flight; money in millionths of a millionth of a dollar",
    "finding_tallies": "items by failure and flag of their present round, and by standing",
}
_PICOS = "CAST(round(coalesce({row}.%s, 0) * 1e12) AS NUMERIC)"
_PRESENT = "(SELECT round FROM jobs WHERE id = {row}.job_id)"
_OTHER_FLAG = (
    "SELECT 1 FROM flags f WHERE f.job_id = {row}.job_id AND f.kind = {row}.kind AND f.round IN (0, " + _PRESENT + ")"
)
_EARLIER = "(f.round < {row}.round OR (f.round = {row}.round AND f.number < {row}.number))"


class _Count(NamedTuple):
    """What a row of `table` adds to `tally`: keys and numbers as SQL over {row}, once per item where `once` says so."""

    tally: str
    table: str
    values: dict[str, str]
    counts_added: str = "1 = 1"
    counts_removed: str = "1 = 1"
    watched: tuple[str, ...] = ()
    """Columns whose update moves the row from one number to another; none: rows are never updated."""
    once_an_item: bool = False


_COUNTS = (
    _Count(
        tally="job_tallies",
        table="jobs",
        values={
            "state": "{row}.state",
            "jobs": "1",
            "followers": "CASE WHEN {row}.leader_id IS NULL THEN 0 ELSE 1 END",
            "deferred": "CASE WHEN {row}.state = 'ready' AND {row}.not_before IS NOT NULL THEN 1 ELSE 0 END",
        },
        watched=("state", "leader_id", "not_before"),
    ),
    _Count(
        tally="attempt_tallies",
        table="attempts",
        values={
            "ending": "coalesce({row}.ending, 'open')",
            "requests": "1",
            "priced": "CASE WHEN {row}.cost_usd IS NULL THEN 0 ELSE 1 END",
            "cost_picos": _PICOS % "cost_usd",
            "held": "CASE WHEN {row}.held_usd IS NULL THEN 0 ELSE 1 END",
            "held_picos": _PICOS % "held_usd",
            **{name: f"{{row}}.{name}" for name in _TOKENS},
        },
        watched=("ending", "cost_usd", "held_usd", *_TOKENS),
    ),
    _Count(
        tally="finding_tallies",
        table="standings",
        values={
            "what": "'standing'",
            "name": "{row}.state",
            "items": "1",
            "released": "CASE WHEN {row}.released THEN 1 ELSE 0 END",
            "changed": "CASE WHEN {row}.released AND {row}.changed THEN 1 ELSE 0 END",
        },
        watched=("state", "released", "changed"),
    ),
    _Count(
        tally="finding_tallies",
        table="outcomes",
        values={"what": "'failure'", "name": "{row}.failure_kind", "items": "1", "released": "0", "changed": "0"},
        counts_added=f"{{row}}.failure_kind IS NOT NULL AND {{row}}.round = {_PRESENT}",
        counts_removed=f"{{row}}.failure_kind IS NOT NULL AND {{row}}.round = {_PRESENT}",
    ),
    _Count(
        tally="finding_tallies",
        table="flags",
        values={"what": "'flag'", "name": "{row}.kind", "items": "1", "released": "0", "changed": "0"},
        counts_added=f"{{row}}.round IN (0, {_PRESENT}) AND NOT EXISTS ({_OTHER_FLAG} AND {_EARLIER})",
        counts_removed=f"{{row}}.round IN (0, {_PRESENT}) AND NOT EXISTS ({_OTHER_FLAG})",
        once_an_item=True,
    ),
)

# A job that begins a round has left what was found in the one before.
_LEFT = {
    "failure": (
        "SELECT {row}.batch_id AS batch_id, 'failure' AS what, o.failure_kind AS name, {row}.id AS job_id"
        " FROM outcomes o WHERE o.job_id = {row}.id AND o.round = {row}.round AND o.failure_kind IS NOT NULL"
    ),
    "flag": (
        "SELECT DISTINCT {row}.batch_id AS batch_id, 'flag' AS what, f.kind AS name, {row}.id AS job_id FROM flags f"
        " WHERE f.job_id = {row}.id AND f.round = {row}.round AND f.round <> 0 AND NOT EXISTS"
        " (SELECT 1 FROM flags g WHERE g.job_id = f.job_id AND g.kind = f.kind AND g.round = 0)"
    ),
}


def upgrade() -> None:
    """Tables, what is there already, and the triggers, under one lock: no change falls between them."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        op.execute("LOCK TABLE jobs, attempts, outcomes, flags, standings IN SHARE ROW EXCLUSIVE MODE")
    for tally, (keys, numbers) in _COLUMNS.items():
        op.create_table(
            tally,
            sa.Column("batch_id", sa.Integer(), autoincrement=False, nullable=False),
            *[sa.Column(name, sa.String(length=32), nullable=False) for name in keys],
            sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
            *[sa.Column(name, _type(name), nullable=False) for name in numbers],
            sa.PrimaryKeyConstraint("batch_id", *keys, "shard", name=op.f(f"pk_{tally}")),
            comment=_COMMENTS[tally],
        )
    op.create_index("ix_outcomes_finished", "outcomes", ["batch_id", "finished_at"])
    op.create_index(
        "ix_attempts_repeats", "attempts", ["batch_id"], sqlite_where=sa.text("claim > 1"),
        postgresql_where=sa.text("claim > 1"),
    )  # fmt: skip
    for count in _COUNTS:
        op.execute(_fill(count))
        for statement in _sqlite_triggers(count) if is_sqlite else _postgresql_triggers(count):
            op.execute(sa.text(statement.replace(":", "\\:")))
    for statement in _sqlite_round() if is_sqlite else _postgresql_round():
        op.execute(sa.text(statement.replace(":", "\\:")))


def _type(name: str) -> sa.types.TypeEngine[Any]:
    return sa.Numeric(38, 0) if name.endswith("_picos") else sa.BigInteger()


def _fill(count: _Count) -> str:
    keys, numbers = _COLUMNS[count.tally]
    values = {name: sql.format(row="r") for name, sql in count.values.items()}
    sums = "count(DISTINCT r.job_id), 0, 0" if count.once_an_item else ", ".join(f"sum({values[n]})" for n in numbers)
    where = count.counts_removed.replace(f" AND NOT EXISTS ({_OTHER_FLAG})", "").format(row="r")
    grouped = ", ".join(["r.batch_id", *[values[key] for key in keys if not values[key].startswith("'")]])
    return (
        f"INSERT INTO {count.tally} (batch_id, {', '.join(keys)}, shard, {', '.join(numbers)})"
        f" SELECT r.batch_id, {', '.join(values[key] for key in keys)}, 0, {sums} FROM {count.table} r"
        f" WHERE {where} GROUP BY {grouped}"
    )


# ------------------------------------------------------------------------------------------------ SQLite: row by row


def _sqlite_triggers(count: _Count) -> list[str]:
    name = f"tally_{count.table}"
    added, removed = count.counts_added.format(row="NEW"), count.counts_removed.format(row="OLD")
    triggers = [
        f"CREATE TRIGGER {name}_{event} AFTER {event.upper()} ON {count.table} WHEN {condition} BEGIN {change} END"
        for event, condition, change in (
            ("insert", added, _sqlite_add(count, "NEW", 1)),
            ("delete", removed, _sqlite_add(count, "OLD", -1)),
        )
    ]
    if count.watched:
        moved = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in count.watched)
        triggers.append(
            f"CREATE TRIGGER {name}_update AFTER UPDATE OF {', '.join(count.watched)} ON {count.table} WHEN {moved}"
            f" BEGIN {_sqlite_add(count, 'OLD', -1)} {_sqlite_add(count, 'NEW', 1)} END"
        )
    return triggers


def _sqlite_add(count: _Count, row: str, sign: int) -> str:
    """An upsert in two statements: the conflict clause of the firing statement overrides the trigger's."""
    keys, numbers = _COLUMNS[count.tally]
    values = {name: sql.format(row=row) for name, sql in count.values.items()}
    this_row = " AND ".join([f"batch_id = {row}.batch_id", "shard = 0", *[f"{key} = {values[key]}" for key in keys]])
    return (
        f"INSERT INTO {count.tally} (batch_id, {', '.join(keys)}, shard, {', '.join(numbers)})"
        f" SELECT {row}.batch_id, {', '.join(values[key] for key in keys)}, {', '.join('0' for _ in (0, *numbers))}"
        f" WHERE NOT EXISTS (SELECT 1 FROM {count.tally} WHERE {this_row});"
        f" UPDATE {count.tally} SET {', '.join(f'{n} = {n} + {sign} * ({values[n]})' for n in numbers)}"
        f" WHERE {this_row};"
    )


def _sqlite_round() -> list[str]:
    less = " ".join(
        f"UPDATE finding_tallies SET items = items - 1 WHERE batch_id = OLD.batch_id AND shard = 0"
        f" AND what = '{what}' AND name IN (SELECT name FROM ({left.format(row='OLD')}));"
        for what, left in _LEFT.items()
    )
    return [f"CREATE TRIGGER tally_rounds AFTER UPDATE OF round ON jobs WHEN OLD.round <> NEW.round BEGIN {less} END"]


# ----------------------------------------------------------------------------- PostgreSQL: once a statement, in shards


def _postgresql_triggers(count: _Count) -> list[str]:
    statements: list[str] = []
    events = {"insert": "NEW TABLE AS added", "delete": "OLD TABLE AS removed"}
    if count.watched:
        events["update"] = "OLD TABLE AS removed NEW TABLE AS added"
    for event, transition in events.items():
        name = f"tally_{count.table}_{event}"
        rows = []
        if "removed" in transition:
            rows.append(_postgresql_rows(count, "removed", -1))
        if "added" in transition:
            rows.append(_postgresql_rows(count, "added", 1))
        statements.append(_function(name, _postgresql_add(count.tally, " UNION ALL ".join(rows))))
        statements.append(
            f"CREATE TRIGGER {name} AFTER {event.upper()} ON {count.table} REFERENCING {transition}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )
    return statements


def _postgresql_rows(count: _Count, rows: str, sign: int) -> str:
    keys, numbers = _COLUMNS[count.tally]
    condition = (count.counts_added if sign > 0 else count.counts_removed).format(row="r")
    values = {name: sql.format(row="r") for name, sql in count.values.items()}
    columns = ", ".join(
        ["r.batch_id AS batch_id", *[f"{values[key]} AS {key}" for key in keys],
         *[f"{sign} * ({values[number]}) AS {number}" for number in numbers]]
    )  # fmt: skip
    distinct = "DISTINCT ON (r.job_id, r.kind) " if count.once_an_item else ""
    return f"(SELECT {distinct}{columns} FROM {rows} r WHERE {condition})"


def _postgresql_add(tally: str, rows: str) -> str:
    keys, numbers = _COLUMNS[tally]
    key_list = ", ".join(["batch_id", *keys])
    return (
        f"INSERT INTO {tally} AS t ({key_list}, shard, {', '.join(numbers)})"
        f" SELECT {key_list}, pg_backend_pid(), {', '.join(f'sum({number})' for number in numbers)}"
        f" FROM ({rows}) x GROUP BY {key_list}"
        f" HAVING {' OR '.join(f'sum({number}) <> 0' for number in numbers)}"
        f" ON CONFLICT ({key_list}, shard) DO UPDATE SET"
        f" {', '.join(f'{number} = t.{number} + excluded.{number}' for number in numbers)}"
    )


def _function(name: str, statement: str) -> str:
    body = f"BEGIN {statement}; RETURN NULL; END"
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$ {body} $body$"


def _postgresql_round() -> list[str]:
    began = "FROM removed r JOIN added a ON a.id = r.id WHERE a.round <> r.round"
    left = " UNION ALL ".join(
        f"SELECT l.batch_id, l.what, l.name, -1 AS items, 0 AS released, 0 AS changed"
        f" FROM (SELECT r.* {began}) r CROSS JOIN LATERAL ({sql.format(row='r')}) l"
        for sql in _LEFT.values()
    )
    guarded = f"IF EXISTS (SELECT 1 {began}) THEN {_postgresql_add('finding_tallies', left)}; END IF"
    trigger = (
        "CREATE TRIGGER tally_rounds AFTER UPDATE ON jobs REFERENCING OLD TABLE AS removed NEW TABLE AS added"
        " FOR EACH STATEMENT EXECUTE FUNCTION tally_rounds()"
    )
    return [_function("tally_rounds", guarded), trigger]
