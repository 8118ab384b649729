"""A list is read page by page, whatever its order, and nothing is missed or read twice."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, func, insert, select

from tests.store.steps import enqueue
from workers.store.overviews import BatchChoice, BatchOrder, WhichBatches, page_of_overviews
from workers.store.pages import Key, Place, read_page
from workers.store.tables import audit_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.store import Store
    from workers.store.pages import Page

by_whom, entry_id = audit_entries.c.by, audit_entries.c.id
ORDERS = {
    "rising": (Key(by_whom), Key(entry_id)),
    "falling": (Key(by_whom, is_falling=True), Key(entry_id, is_falling=True)),
    "mixed": (Key(by_whom), Key(entry_id, is_falling=True)),
    "computed": (Key(func.lower(audit_entries.c.batch)), Key(-audit_entries.c.at), Key(entry_id)),
}


def note(connection: Connection, by: str, batch: str = "b", at: float = 0.1) -> int:
    values = {"at": at, "by": by, "action": "a", "batch": batch, "detail": ""}
    return connection.execute(insert(audit_entries).values(values).returning(entry_id)).scalar_one()


def read(connection: Connection, keys: Sequence[Key], at: Place | None = None, at_most: int = 3) -> Page[int]:
    page = read_page(connection, select(entry_id), keys, at=at, at_most=at_most)
    return page.mapped([row.id for row in page.rows])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 3, 9, 10])
def test_every_row_is_on_one_page_forwards_and_backwards(store: Store, order: str, size: int):
    keys = ORDERS[order]
    with store.transaction() as connection:
        for number in range(9):
            note(connection, f"p{number // 4}", "Bb"[number % 2], at=number % 3 / 3)
    with store.snapshot() as connection:
        expected = connection.execute(
            select(entry_id).order_by(*(each.column.desc() if each.is_falling else each.column for each in keys))
        ).scalars()
        pages = [read(connection, keys, at_most=size)]
        while pages[-1].next is not None:
            pages.append(read(connection, keys, pages[-1].next, size))
        assert [each for page in pages for each in page.rows] == list(expected)
        for before, after in pairwise(pages):
            assert read(connection, keys, after.previous, size).rows == before.rows


def test_rows_that_come_and_go_move_no_other_row_to_a_page_that_was_read(store: Store):
    keys = ORDERS["falling"]
    with store.transaction() as connection:
        ids = [note(connection, "p") for _ in range(6)]
        first = read(connection, keys)
        newest = note(connection, "p")
        connection.execute(delete(audit_entries).where(entry_id == ids[3]))  # the last one of the page

        second = read(connection, keys, first.next)
        assert (first.rows, second.rows) == ([ids[5], ids[4], ids[3]], [ids[2], ids[1], ids[0]])
        again = read(connection, keys, second.previous)
        assert again.rows == [newest, ids[5], ids[4]], "a first page is full"
        assert again.previous is None
        connection.execute(delete(audit_entries).where(entry_id < ids[3]))
        assert read(connection, keys, first.next) == read(connection, keys, Place(("p", ids[0]))), "nothing is left"


def test_each_choice_of_batches_is_read_page_by_page(store: Store):
    for number in range(4):
        enqueue(store, number + 1, name=f"{'Bb'[number % 2]}{number}")
    with store.snapshot() as connection:
        for order, names in {
            BatchOrder.OLDEST: ["B0", "b1", "B2", "b3"],
            BatchOrder.NEWEST: ["b3", "B2", "b1", "B0"],
            BatchOrder.NAME: ["B0", "b1", "B2", "b3"],
        }.items():
            choice = BatchChoice(which=WhichBatches.UNFINISHED, search="B", order=order)
            first = page_of_overviews(connection, at_most=3, choice=choice)
            last = page_of_overviews(connection, at=first.next, at_most=3, choice=choice)
            assert [each.name for each in (*first.rows, *last.rows)] == names
            assert sorted(each.total for each in (*first.rows, *last.rows)) == [1, 2, 3, 4]
        finished = BatchChoice(which=WhichBatches.FINISHED)
        assert page_of_overviews(connection, at_most=3, choice=finished).rows == []
