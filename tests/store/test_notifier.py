"""The notifier: one worker sends what is due, notes how it ended, and tells of the last batch as it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.store.steps import move_clock
from tests.store.test_outbox import HOOK, MAIL, finish, park, rows, told_batch
from tests.support.wait import wait_until
from workers.notify.sending import Message, NotSent
from workers.process.notifier import LEASE, LEASE_SECONDS, Notifier
from workers.store.control_tables import notifications
from workers.store.leases import take_lease
from workers.store.outbox import read_outbox

if TYPE_CHECKING:
    from workers.store import Store


class Receiver:
    """Takes messages, but those to `away`."""

    def __init__(self, away: tuple[str, ...] = (), failure: Exception | None = None) -> None:
        self.away = away
        self.failure = failure or NotSent("the receiver answered 500")
        self.received: list[tuple[str, str, str]] = []

    def send(self, message: Message, target: str) -> None:
        if target in self.away:
            raise self.failure
        self.received.append((message.id, message.happening, target))


def notifier(store: Store, receiver: Receiver, *, holder: str = "w1", operator: tuple[str, ...] = ()) -> Notifier:
    return Notifier(store, holder=holder, send=receiver.send, operator=operator, period_seconds=0.05)


def test_a_round_sends_what_is_due_once(store: Store):
    told_batch(store, targets=(HOOK, MAIL))
    finish(store)
    park(store)
    receiver = Receiver()
    sender = notifier(store, receiver, operator=(MAIL,))
    assert sender.round() == 3
    assert sender.round() == 0
    assert sorted(each[1:] for each in receiver.received) == [
        ("account.parked", MAIL),
        ("batch.ended", HOOK),
        ("batch.ended", MAIL),
    ]


@pytest.mark.parametrize("failure", [NotSent("the receiver answered 500"), ZeroDivisionError("essay of Ann")])
def test_one_that_fails_stops_no_other_and_is_tried_again_under_its_id(store: Store, failure: Exception):
    told_batch(store, targets=(HOOK, MAIL))
    finish(store)
    receiver = Receiver(away=(HOOK,), failure=failure)
    sender = notifier(store, receiver)
    assert sender.round() == 1
    with store.snapshot() as connection:
        state = read_outbox(connection)
        first_id = connection.execute(select(notifications.c.id).where(notifications.c.target == HOOK)).scalar()
    assert state.waiting == 1
    assert "Ann" not in (state.error or "")
    assert sender.round() == 0

    receiver.away = ()
    move_clock(store, "notifications", "next_at", 60)
    assert sender.round() == 1
    assert receiver.received[-1] == (first_id, "batch.ended", HOOK)


def test_one_worker_sends_at_a_time(store: Store):
    told_batch(store)
    finish(store)
    receiver = Receiver()
    with store.transaction() as connection:
        assert take_lease(connection, LEASE, holder="another", seconds=LEASE_SECONDS)
    assert notifier(store, receiver).round() == 0
    assert receiver.received == []
    assert rows(store) == [], "nor does another one look for ends"
    move_clock(store, "leases", "expires_at", LEASE_SECONDS + 1)
    assert notifier(store, receiver).round() == 1


def test_a_worker_without_an_operators_address_leaves_the_operators_messages_to_one_with_it(store: Store):
    park(store)
    receiver = Receiver()
    assert notifier(store, receiver).round() == 0
    move_clock(store, "leases", "expires_at", LEASE_SECONDS + 1)
    assert notifier(store, receiver, holder="w2", operator=(MAIL,)).round() == 1


def test_the_thread_tells_of_what_ended_last_as_it_stops_and_lets_the_next_one_in(store: Store):
    told_batch(store)
    receiver = Receiver()
    sender = Notifier(store, holder="w1", send=receiver.send, period_seconds=600)
    sender.start()
    finish(store)
    sender.stop()
    wait_until(lambda: len(receiver.received) == 1, "the end is told")
    wait_until(lambda: notifier(store, receiver, holder="w2")._hold(), "the lease is free")
