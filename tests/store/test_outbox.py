"""The outbox: what happened is told in the same transaction, once to each, and tried until it is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.store.steps import answered, claim, enqueue, failure, move_clock, new_job, persist, publish, success
from tests.store.test_gates import ask, started
from workers.contract.notification import MOST_NAMED, OPERATOR
from workers.contract.outcome import AccountState
from workers.store.control_tables import notifications
from workers.store.enqueue import add_jobs, open_batch
from workers.store.gates import GateRequest
from workers.store.outbox import (
    SPACINGS_SECONDS,
    OutboxState,
    address_operator,
    due_notifications,
    forget_old,
    note_ended,
    note_failed,
    note_night,
    note_sent,
    read_outbox,
)
from workers.store.parks import park_account, resume_account
from workers.store.steering import cancel_batch, retry_failed
from workers.store.tables import now_seconds

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.outbox import Notification

HOOK, MAIL = "https://host.example/hook", "mailto:me@uni.example"


def batch_of(store: Store, count: int, *, name: str = "b", **asked: Any) -> None:
    gate = GateRequest(starts_carefully=False, **asked)
    batch = open_batch(store, name=name, provider="p", queue="bulk", gate=gate)
    add_jobs(store, batch, [new_job(f"{name}{number}") for number in range(count)], gate=gate)


def told_batch(store: Store, count: int = 2, *, name: str = "b", targets: tuple[str, ...] = (HOOK,)) -> None:
    batch_of(store, count, name=name, notify=targets)


def rows(store: Store) -> list[tuple[str, str, dict[str, Any]]]:
    """(happening, target, content) of all, in a fixed order."""
    with store.snapshot() as connection:
        found = connection.execute(select(notifications)).all()
    return sorted(((row.happening, row.target, row.content) for row in found), key=str)


def due(store: Store) -> list[Notification]:
    with store.snapshot() as connection:
        return due_notifications(connection, at_most=100)


def finish(store: Store, *, failed: int = 0) -> None:
    for number, job in enumerate(claim(store, publish(store)).values()):
        persist(store, ending=failure(job) if number < failed else success(job))


def park(store: Store, account: str = "p") -> None:
    with store.transaction() as connection:
        park_account(connection, account=account, state=AccountState.QUOTA_EXHAUSTED, message="essay of Ann Example")


def test_the_end_of_a_batch_is_told_once_to_each_and_again_after_another_round(store: Store):
    told_batch(store, targets=(HOOK, MAIL))
    first, last = claim(store, publish(store)).values()
    persist(store, ending=failure(first))
    assert store.run(note_ended) == 0, "one of two has ended"
    persist(store, ending=success(last))
    assert store.run(note_ended) == 2
    assert store.run(note_ended) == 0
    content = {"batch": "b", "provider": "p", "succeeded": 1, "failed": 1}
    assert rows(store) == [("batch.ended", HOOK, content), ("batch.ended", MAIL, content)]

    retry_failed(store, "b")
    assert store.run(note_ended) == 0
    finish(store)
    assert store.run(note_ended) == 2
    assert rows(store)[-1][2] == content | {"succeeded": 2, "failed": 0}


def test_a_batch_that_is_being_filled_or_whose_twins_wait_has_not_ended(store: Store):
    gate = GateRequest(starts_carefully=False, notify=(HOOK,))
    batch = open_batch(store, name="b", provider="p", queue="bulk", gate=gate)
    assert store.run(note_ended) == 0
    twins = [new_job("a", twin_key="k"), new_job("b", twin_key="k")]
    add_jobs(store, batch, twins, gate=gate)
    assert store.run(note_ended) == 0
    finish(store)
    assert store.run(note_ended) == 1
    add_jobs(store, batch, [new_job("c")])
    assert store.run(note_ended) == 0
    cancel_batch(store, "b")
    assert store.run(note_ended) == 1


def test_a_batch_that_asked_for_nothing_tells_nobody(store: Store):
    enqueue(store, 1)
    finish(store)
    assert store.run(note_ended) == 0
    assert rows(store) == []


def test_a_park_is_told_once_to_the_operator_and_to_whose_batches_wait_without_the_providers_words(store: Store):
    told_batch(store, name="ended")
    finish(store)
    told_batch(store, name="waits")
    told_batch(store, name="waits too", targets=(MAIL, HOOK))
    park(store)
    park(store)
    park(store, "another")
    common = {"account": "p", "reason": "quota_exhausted"}
    assert rows(store) == [
        ("account.parked", HOOK, common | {"batches": ["waits", "waits too"], "batch_count": 2}),
        ("account.parked", MAIL, common | {"batches": ["waits too"], "batch_count": 1}),
        ("account.parked", OPERATOR, common | {"account": "another", "batches": [], "batch_count": 0}),
        ("account.parked", OPERATOR, common | {"batches": [], "batch_count": 0}),
    ]
    assert "Ann" not in str(rows(store))

    store.run(lambda connection: resume_account(connection, "p"))
    park(store)
    assert len(rows(store)) == 7


def test_a_park_names_some_of_many_batches(store: Store):
    for number in range(MOST_NAMED + 1):
        told_batch(store, 1, name=f"b{number}")
    park(store)
    [content] = [content for _happening, target, content in rows(store) if target == HOOK]
    assert (len(content["batches"]), content["batch_count"]) == (MOST_NAMED, MOST_NAMED + 1)


def test_a_reached_cap_is_told_in_the_transaction_that_closes_the_batch(store: Store):
    batch_of(store, 3, max_usd=1.5, notify=(HOOK,))
    jobs = started(store)
    [(attempt, _admission)] = ask(store, jobs[:1])
    assert rows(store) == []
    persist_answer(store, attempt)
    ask(store, jobs[1:2])
    ask(store, jobs[2:])
    content = {"batch": "b", "reason": "spend_cap"}
    assert rows(store) == [("batch.stopped", HOOK, content), ("batch.stopped", OPERATOR, content)]


def persist_answer(store: Store, attempt: str) -> None:
    persist(store, closing=answered(attempt, cost_usd=1.0))


def test_a_reached_cap_of_a_day_is_told_once(store: Store):
    told_batch(store, 3)
    jobs = started(store)
    [(attempt, _admission)] = ask(store, jobs[:1], day=1.5)
    persist_answer(store, attempt)
    ask(store, jobs[1:], day=1.5)
    assert [(happening, target) for happening, target, _content in rows(store)] == [
        ("account.day_cap_reached", HOOK),
        ("account.day_cap_reached", OPERATOR),
    ]
    assert rows(store)[0][2]["batches"] == ["b"]


def test_what_is_rolled_back_is_not_told(store: Store):
    def fails(connection: Any) -> None:
        park_account(connection, account="p", state=AccountState.QUOTA_EXHAUSTED, message="empty")
        raise RuntimeError("the worker died")

    with pytest.raises(RuntimeError):
        store.run(fails)
    assert rows(store) == []


def test_the_operators_messages_wait_until_a_worker_knows_who_that_is(store: Store):
    with store.transaction() as connection:
        note_night(connection, entry="term", night="2026-12-01", reason="missed")
    assert due(store) == []
    with store.snapshot() as connection:
        assert read_outbox(connection) == OutboxState()
    assert store.run(lambda connection: address_operator(connection, ())) == 0
    assert store.run(lambda connection: address_operator(connection, (HOOK, MAIL))) == 1
    assert store.run(lambda connection: address_operator(connection, (HOOK, MAIL))) == 0
    assert {each.target for each in due(store)} == {HOOK, MAIL}
    assert len({each.id for each in due(store)}) == 2


def test_who_is_the_operator_and_a_target_of_the_batch_is_told_once_as_the_batchs(store: Store):
    told_batch(store, name="waits", targets=(HOOK, OPERATOR))
    for _ in range(2):
        park(store)
        store.run(lambda connection: resume_account(connection, "p"))
        store.run(lambda connection: address_operator(connection, (HOOK, MAIL)))
    finish(store)
    store.run(note_ended)
    store.run(lambda connection: address_operator(connection, (HOOK, MAIL)))

    told = [(each.happening, each.target, each.content.get("batches")) for each in due(store)]
    assert sorted(told, key=str) == [
        ("account.parked", HOOK, ["waits"]),
        ("account.parked", HOOK, ["waits"]),
        ("account.parked", MAIL, ["waits"]),
        ("account.parked", MAIL, ["waits"]),
        ("batch.ended", HOOK, None),
        ("batch.ended", MAIL, None),
    ]


def test_a_reached_cap_is_told_once_to_the_operator_who_asked_for_the_batch(store: Store):
    batch_of(store, 3, max_usd=1.5, notify=(HOOK,))
    jobs = started(store)
    [(attempt, _admission)] = ask(store, jobs[:1])
    persist_answer(store, attempt)
    ask(store, jobs[1:2])
    store.run(lambda connection: address_operator(connection, (HOOK, MAIL)))

    assert sorted(each.target for each in due(store)) == [HOOK, MAIL]


def test_two_beats_that_say_the_same_of_a_night_say_it_once(store: Store):
    for _ in range(2):
        with store.transaction() as connection:
            note_night(connection, entry="term", night="2026-12-01", reason="missed")
        store.run(lambda connection: address_operator(connection, (HOOK,)))
    assert [each.content["night"] for each in due(store)] == ["2026-12-01"]


def one(store: Store) -> Notification:
    park(store)
    store.run(lambda connection: address_operator(connection, (HOOK,)))
    [found] = due(store)
    return found


def wait(store: Store) -> float:
    """Seconds until the next try."""
    with store.snapshot() as connection:
        left = select(notifications.c.next_at - now_seconds()).where(notifications.c.target != OPERATOR)
        return float(connection.execute(left).scalar_one())


def test_a_failed_message_is_tried_later_and_later_under_one_id_and_then_given_up(store: Store):
    sent, waits = one(store), []
    first_id = sent.id
    for _ in SPACINGS_SECONDS:
        assert store.run(lambda connection: note_failed(connection, sent, "the receiver answered 500"))  # noqa: B023
        waits.append(wait(store))
        assert due(store) == []
        move_clock(store, "notifications", "next_at", 200_000)
        [sent] = due(store)
    assert sent.id == first_id
    assert waits == sorted(waits)
    assert waits == [pytest.approx(spacing, rel=0.3, abs=3) for spacing in SPACINGS_SECONDS]
    with store.snapshot() as connection:
        assert read_outbox(connection) == OutboxState(waiting=1, error="the receiver answered 500")

    assert not store.run(lambda connection: note_failed(connection, sent, "the receiver answered 502"))
    assert due(store) == []
    with store.snapshot() as connection:
        assert read_outbox(connection) == OutboxState(given_up=1, error="the receiver answered 502")


def test_a_receiver_that_wants_no_more_is_not_tried_again(store: Store):
    sent = one(store)
    assert not store.run(lambda connection: note_failed(connection, sent, "410", is_final=True))
    with store.snapshot() as connection:
        assert read_outbox(connection).given_up == 1


def test_what_was_sent_is_over_and_forgotten_after_a_month(store: Store):
    sent = one(store)
    store.run(lambda connection: note_failed(connection, sent, "no answer"))
    store.run(lambda connection: note_sent(connection, sent.id))
    with store.snapshot() as connection:
        assert read_outbox(connection) == OutboxState()
    assert store.run(forget_old) == 0
    move_clock(store, "notifications", "sent_at", 31 * 86_400)
    assert store.run(forget_old) == 2, "and the operator's own, which it was made of"
    assert rows(store) == []
