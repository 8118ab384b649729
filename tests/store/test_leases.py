"""One holder at a time, whatever the database's clock does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from workers.store.leases import LONGEST_SECONDS, drop_lease, take_lease
from workers.store.tables import leases, now_seconds

if TYPE_CHECKING:
    from workers.store import Store


def take(store: Store, holder: str, seconds: float = 10.0) -> bool:
    return store.run(lambda connection: take_lease(connection, "feeder", holder=holder, seconds=seconds))


def test_one_holds_it_and_the_next_one_after_it_was_dropped(store: Store):
    assert [take(store, "a"), take(store, "b"), take(store, "a")] == [True, False, True]
    store.run(lambda connection: drop_lease(connection, "feeder", holder="a"))
    assert take(store, "b")


def test_a_lease_further_ahead_than_any_can_be_is_taken(store: Store):
    take(store, "a")
    with store.transaction() as connection:  # the clock was an hour ahead, and was set back
        connection.execute(update(leases).values(expires_at=now_seconds() + 3600))

    assert take(store, "b")
    assert not take(store, "a")


def test_the_longest_lease_is_no_such_lease(store: Store):
    assert take(store, "a", seconds=10 * LONGEST_SECONDS)
    assert not take(store, "b")
