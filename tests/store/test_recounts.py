"""What is held against caps is a sum over the ledger: where a count went wrong, it is put right."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from tests.store.steps import answered
from tests.store.test_gates import OPEN, ask, batch_of, gate_of, started
from workers.contract.outcome import AttemptEnding
from workers.store.admission import lock_gates
from workers.store.day_caps import read_days, recount_days
from workers.store.gates import held_of_batch, recount_caps
from workers.store.job_update import JobUpdate, apply_updates
from workers.store.ledger import AttemptClosing
from workers.store.tables import batch_gates, day_gates

if TYPE_CHECKING:
    from workers.store import Store


def test_a_count_that_missed_a_transaction_under_way_is_put_right(store: Store):
    batch_id = batch_of(store, 2, replace(OPEN, max_usd=5.0))
    ask(store, started(store), usd=1.5, day=9.0)
    with store.transaction() as connection:
        connection.execute(update(batch_gates).values(held_usd=-1.0))
        connection.execute(update(day_gates).values(held_usd=7.0))

    corrected = [recount_caps(store, lock_seconds=3.0), recount_days(store, lock_seconds=3.0)]

    assert corrected == [1, 1]
    assert gate_of(store).held_usd == 3.0
    with store.snapshot() as connection:
        assert held_of_batch(connection, batch_id) == 3.0
        assert [day.held_usd for day in read_days(connection)] == [3.0]
    assert recount_caps(store, lock_seconds=3.0) + recount_days(store, lock_seconds=3.0) == 0


def test_two_ends_of_one_request_in_one_transaction_count_as_the_ledger_takes_them(store: Store):
    batch_of(store, 1, replace(OPEN, max_usd=5.0))
    [job] = started(store)
    [(attempt, _verdict)] = ask(store, [job], usd=2.0)
    known = answered(attempt, cost_usd=0.5)
    given_up = AttemptClosing(attempt_id=attempt, ending=AttemptEnding.UNKNOWN)

    def work(connection: Any) -> None:
        gates = lock_gates(connection, closings=[known, given_up])
        both = [JobUpdate(closing=known), JobUpdate(closing=given_up)]
        apply_updates(connection, both, locked={}, gates=gates)
        gates.write()

    store.run(work)

    assert gate_of(store).held_usd == 0.5
    assert recount_caps(store, lock_seconds=3.0) == 0
