"""Many values in one parameter reach the database as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy import MetaData, select, text
from sqlalchemy.exc import DataError, IntegrityError

from workers.store.bulk import among, array_text, copy_columns, insert_columns
from workers.store.tables import audit_entries, standings

if TYPE_CHECKING:
    from workers.store import Store

TEXTS = [
    "",
    "NULL",
    "null",
    '"',
    "\\",
    '\\"',
    "a,b",
    "{a}",
    "{}",
    " a ",
    "a\nb\t",
    "é\u2028 Zoë",
    "'",
    "%s %(x)s :y",
    "a" * 9000,
]


def by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_texts_come_back_as_they_were_sent(store: Store):
    with store.transaction() as connection:
        count = len(TEXTS)
        columns = {"detail": TEXTS, "by": ["p"] * count, "action": ["a"] * count, "batch": ["b"] * count}
        insert_columns(connection, audit_entries, columns, at="at")
        detail = audit_entries.c.detail
        assert connection.execute(select(detail).order_by(audit_entries.c.id)).scalars().all() == TEXTS
        for each in TEXTS:
            chosen = select(detail).where(among(connection, detail, [each, "not there"]))
            assert connection.execute(chosen).scalars().all() == [each]
        assert connection.execute(select(detail).where(among(connection, detail, []))).all() == []
        assert len(connection.execute(select(detail).where(among(connection, detail, TEXTS))).all()) == len(TEXTS)


def test_copied_rows_come_back_as_they_were_given(store: Store):
    if store.is_sqlite:
        pytest.skip("takes rows one by one")
    given_texts = [*TEXTS, "\\N", "\\.", "a\n\\.\nb", "a\r\nb", "\\n", "7", "\v\f\x01"]
    rows = [
        {"job_id": f"j{n}", "batch_id": n, "last_id": -1, "state": "s", "decided_by": each, "points": n / 3,
         "released": n % 2 == 0, "changed": False, "round": None}
        for n, each in enumerate(map(str, given_texts))
    ]  # fmt: skip
    with pytest.raises(IntegrityError), store.transaction() as connection:
        copy_columns(
            connection, standings, by_column(rows[:3])
        )  # their jobs do not exist, and the error is as of any statement
    with pytest.raises(DataError) as refused, store.transaction() as connection:
        copy_columns(connection, standings, by_column(rows))  # one text is too long, and is part of no message
    assert "too long" in str(refused.value)
    assert "aaa" not in str(refused.value)
    with store.transaction() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE copied (LIKE standings) ON COMMIT DROP"))
        connection.execute(text("ALTER TABLE copied ALTER decided_by TYPE text"))
        copy_columns(connection, standings.to_metadata(MetaData(), name="copied"), by_column(rows))
        found = connection.execute(text("SELECT * FROM copied ORDER BY batch_id")).mappings().all()
    assert [dict(row) for row in found] == rows


def test_nothing_numbers_and_truth_values_are_written_as_such():
    assert array_text([None, 1, -2.5, 1e-7, True, False]) == "{NULL,1,-2.5,1e-07,True,False}"


@given(some.lists(some.text()))
def test_a_text_ends_where_it_ended(values: list[str]):
    written = array_text(values)
    assert written.replace("\\\\", "").replace('\\"', "").count('"') == 2 * len(values)


def test_no_trigger_joins_the_rows_before_a_statement_with_those_after_it(store: Store):
    """Such a join is planned for the first statement of a session, and may compare each row with each."""
    if store.is_sqlite:
        pytest.skip("its triggers see one row")
    with store.snapshot() as connection:
        ours = "pronamespace = current_schema()::regnamespace AND proname LIKE 'tally%'"
        bodies = connection.execute(text(f"SELECT prosrc FROM pg_proc WHERE {ours}")).scalars().all()
    assert len(bodies) >= 10
    assert not [body for body in bodies if "JOIN added" in body or "JOIN removed" in body]
