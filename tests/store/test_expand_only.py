"""A migration adds, so that workers of the release before go on and start beside it; one that does not says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from tests.support.postgres import fresh_schema
from workers.contract.errors import ServiceUnavailable
from workers.store import Store, engine, migrations
from workers.store.migrations import upgrade, waiting_steps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ADDS = (
    r"CREATE TABLE \w+", r"CREATE INDEX \w+ ON \w+", r"CREATE (OR REPLACE )?(TRIGGER|FUNCTION) \w+",
    r"ALTER TABLE \w+ (ALTER COLUMN \w+ SET COMPRESSION \w+(, )?)+$",
    r"COMMENT ON (TABLE|COLUMN) ", r"UPDATE (alembic_version|store_identity) ",
    r"INSERT INTO (alembic_version|backfills|job_tallies) ",
    r"(SELECT|WITH|PRAGMA|SHOW|BEGIN|LOCK TABLE|SET LOCAL|ANALYZE) ?",
)  # fmt: skip
"""What nobody of the release before notices but by waiting."""


def takes_away(statement: str, made: set[str]) -> bool:
    """Whether a statement may break a release that does not know it. `made`: tables that the same step has created."""
    words = " ".join(statement.split())
    if (created := re.match(r"CREATE TABLE (\w+)", words)) is not None:
        made.add(created[1])
    table = re.match(r"(?:INSERT INTO|CREATE UNIQUE INDEX \w+ ON|UPDATE|ALTER TABLE) (\w+)", words)
    if table is not None and table[1] in made:
        return False
    if (added := re.match(r"ALTER TABLE \w+ ADD COLUMN (.*)", words)) is not None:
        return ("NOT NULL" in added[1] and "DEFAULT" not in added[1]) or "UNIQUE" in added[1]
    return not any(re.match(each, words) for each in _ADDS)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("ALTER TABLE jobs ADD COLUMN lane VARCHAR(16)", False),
        ("ALTER TABLE jobs ADD COLUMN lane VARCHAR(16) DEFAULT 'live' NOT NULL", False),
        ("ALTER TABLE jobs ADD COLUMN lane VARCHAR(16) NOT NULL", True),
        ("ALTER TABLE jobs DROP COLUMN lane", True),
        ("ALTER TABLE jobs RENAME TO work", True),
        ("ALTER TABLE jobs ALTER COLUMN lane TYPE INTEGER", True),
        ("ALTER TABLE jobs ALTER COLUMN lane SET COMPRESSION lz4, ALTER COLUMN state SET COMPRESSION lz4", False),
        ("ALTER TABLE jobs ALTER COLUMN lane SET COMPRESSION lz4, DROP COLUMN state", True),
        ("ALTER TABLE jobs ADD CONSTRAINT positive CHECK (round > 0)", True),
        ("CREATE UNIQUE INDEX one ON jobs (item_id)", True),
        ("CREATE INDEX one ON jobs (item_id)", False),
        ("DROP TABLE flags", True),
        ("DROP INDEX ix_jobs_lane", True),
        ("UPDATE jobs SET state = 'ready'", True),
        ("DELETE FROM flags", True),
        ("INSERT INTO made VALUES (1)", False),
    ],
)
def test_what_adds_is_told_from_what_takes_away(statement: str, expected: bool):  # noqa: FBT001
    assert takes_away(statement, {"made"}) is expected


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
        yield store
        store.close()
        return
    with fresh_schema() as url:
        store = Store.open(url)
        yield store
        store.close()


def test_each_migration_adds_or_names_the_release_that_it_ends(empty: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(migrations, "run_backfills", lambda _store: None)
    upgrade(empty, to="0001")
    statements: list[str] = []

    @event.listens_for(empty.engine, "before_cursor_execute")
    def _remember(_connection: object, _cursor: Any, statement: str, *_rest: object) -> None:
        statements.append(statement)

    for step in waiting_steps(empty):
        statements.clear()
        upgrade(empty, to=step.revision)
        made: set[str] = set()
        narrowing = [each for each in statements if takes_away(each, made)]
        assert not narrowing or step.works_from, f"{step.revision} takes away: {narrowing}"


def test_a_release_starts_on_a_newer_store_that_was_only_added_to_and_on_no_other(
    empty: Store, monkeypatch: pytest.MonkeyPatch
):
    """What a worker of the release before meets that is restarted after the upgrade."""
    upgrade(empty)
    newer = "9998_adds"
    with empty.transaction() as connection:
        connection.execute(text("ALTER TABLE jobs ADD COLUMN of_the_future INTEGER"))
        connection.execute(text("UPDATE alembic_version SET version_num = :newer"), {"newer": newer})
    empty.prepare()
    assert empty.revision == newer

    with empty.transaction() as connection:
        connection.execute(text("UPDATE store_identity SET works_from = :newer"), {"newer": newer})
    with pytest.raises(ServiceUnavailable, match="newer version"):
        empty.prepare()
    monkeypatch.setattr(engine, "HEAD_REVISION", newer)
    empty.prepare()
