"""Spend caps, pilots and early stops: what may start, and what a cap holds."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from tests.store.steps import (
    answered,
    claim,
    failure,
    move_clock,
    new_job,
    opening,
    persist,
    publish,
    states,
    success,
)
from workers.contract.errors import InvalidInput
from workers.contract.outcome import AttemptEnding, FailureKind
from workers.store.admission import Admission, admit, lock_gates
from workers.store.day_caps import DayCaps, end_days, read_days, resume_days
from workers.store.enqueue import add_jobs, open_batch
from workers.store.gates import (
    BatchGate,
    ClosedBy,
    GateRequest,
    held_of_batch,
    read_gate,
    resume_batch,
)
from workers.store.ledger import AttemptClosing
from workers.store.pilots import choose_pilot
from workers.store.releases import free_claims
from workers.store.sql import lock_jobs
from workers.store.steering import retry_failed
from workers.store.tables import batch_gates, jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.store import Store
    from workers.store.claims import ClaimedJob

OPEN = GateRequest(starts_carefully=False)


def batch_of(store: Store, count: int, gate: GateRequest | None = OPEN, *, name: str = "b", **parameters: Any) -> int:
    batch = open_batch(store, name=name, provider="p", queue="bulk", gate=gate)
    add_jobs(store, batch, [new_job(f"{name}{number:03}", **parameters) for number in range(count)])
    return batch.id


def started(store: Store) -> list[ClaimedJob]:
    ids = publish(store)
    found = claim(store, ids)
    return [found[job_id] for job_id in ids]


def ask(
    store: Store, jobs: Sequence[ClaimedJob], *, usd: float | None = 1.0, day: float | None = None
) -> list[tuple[str, Admission]]:
    """(attempt id, what became of it) of requests that may cost so much."""
    openings = [replace(opening(job), most_usd=usd) for job in jobs]

    def work(connection: Any) -> dict[str, Admission]:
        gates = lock_gates(connection, day_caps=DayCaps(by_account={"p": day}), openings=openings)
        admitted = admit(connection, openings, locked=lock_jobs(connection, [job.id for job in jobs]), gates=gates)
        gates.write()
        return admitted

    return list(store.run(work).items())


def verdicts(asked: list[tuple[str, Admission]]) -> list[str]:
    return [str(verdict) for _id, verdict in asked]


def gate_of(store: Store, name: str = "b") -> BatchGate:
    with store.snapshot() as connection:
        return read_gate(connection, name)


def test_a_cap_lets_in_what_fits_at_its_upper_bound_and_the_rest_waits_for_the_calls_in_flight(store: Store):
    batch_of(store, 4, GateRequest(max_usd=2.5, starts_carefully=False))
    working = started(store)
    asked = ask(store, working)
    assert verdicts(asked) == ["may_send", "may_send", "no_room", "no_room"]

    persist(store, closing=answered(asked[0][0], cost_usd=0.2), ending=success(working[0]))
    assert verdicts(ask(store, working[2:])) == ["may_send", "no_room"]
    assert gate_of(store).closed_by is None


def test_a_cap_without_room_closes_the_batch_once_nothing_is_in_flight_and_no_job_fails(store: Store):
    batch_of(store, 3, GateRequest(max_usd=1.5, starts_carefully=False))
    first, second, _third = working = started(store)
    [(attempt, _)] = ask(store, [first])
    persist(store, closing=answered(attempt, cost_usd=0.9), ending=success(first))

    assert verdicts(ask(store, [second])) == ["closed"]
    assert gate_of(store).closed_by is ClosedBy.SPEND_CAP
    assert "$0.9000 is spent" in gate_of(store).message
    assert verdicts(ask(store, working[2:])) == ["closed"]
    store.run(lambda connection: free_claims(connection, [job.id for job in working], worker_ids={"w1"}))
    assert publish(store) == []
    assert states(store) == {"succeeded": 1, "ready": 2}


def test_a_published_job_of_a_closed_batch_is_not_claimed_and_is_published_again_after_resume(store: Store):
    batch_id = batch_of(store, 3, GateRequest(max_usd=1.0, starts_carefully=False))
    ids = publish(store)
    [first] = claim(store, ids[:1]).values()
    assert verdicts(ask(store, [first], usd=2.0)) == ["closed"]
    assert claim(store, ids[1:]) == {}

    with pytest.raises(InvalidInput, match="--max-cost"):
        store.run(lambda connection: resume_batch(connection, batch_id))
    assert store.run(lambda connection: resume_batch(connection, batch_id, max_usd=9.0))
    assert set(publish(store)) == set(ids[1:])
    assert verdicts(ask(store, [first], usd=2.0)) == ["may_send"]


@pytest.mark.parametrize(
    ("closing", "usd"),
    [
        ({"ending": AttemptEnding.ANSWERED, "cost_usd": 0.25}, 0.25),
        ({"ending": AttemptEnding.ANSWERED}, 1.0),
        ({"ending": AttemptEnding.UNKNOWN}, 1.0),
        ({"ending": AttemptEnding.TIMED_OUT}, 1.0),
        ({"ending": AttemptEnding.FAILED, "may_be_billed": True}, 1.0),
        ({"ending": AttemptEnding.FAILED, "status_code": 500}, 0.0),
        ({"ending": AttemptEnding.THROTTLED}, 0.0),
        ({"ending": AttemptEnding.NOT_SENT}, 0.0),
    ],
)
def test_a_request_holds_its_real_cost_or_its_upper_bound_where_the_cost_is_unknown(
    store: Store, closing: dict[str, Any], usd: float
):
    batch_id = batch_of(store, 1, GateRequest(max_usd=5.0, starts_carefully=False))
    [(attempt, _)] = ask(store, started(store), day=50.0)
    for _twice in range(2):
        persist(store, closing=AttemptClosing(attempt_id=attempt, **closing))
    with store.snapshot() as connection:
        [day] = read_days(connection)
        assert held_of_batch(connection, batch_id) == pytest.approx(usd)
    assert gate_of(store).held_usd == pytest.approx(usd)
    assert day.held_usd == pytest.approx(usd)


def test_a_late_answer_corrects_what_an_unknown_end_held(store: Store):
    batch_of(store, 1, GateRequest(max_usd=5.0, starts_carefully=False))
    [job] = started(store)
    [(attempt, _)] = ask(store, [job])
    store.run(lambda connection: free_claims(connection, [job.id], worker_ids={"w1"}))
    assert gate_of(store).held_usd == pytest.approx(1.0)
    persist(store, closing=answered(attempt, cost_usd=0.1), ending=success(job))
    assert gate_of(store).held_usd == pytest.approx(0.1)


def test_a_repeated_commit_holds_its_upper_bound_once(store: Store):
    batch_of(store, 1, GateRequest(max_usd=5.0, starts_carefully=False))
    [job] = started(store)
    same = [replace(opening(job), most_usd=1.0)]

    def work(connection: Any) -> dict[str, Admission]:
        gates = lock_gates(connection, openings=same)
        admitted = admit(connection, same, locked=lock_jobs(connection, [job.id]), gates=gates)
        gates.write()
        return admitted

    assert [store.run(work), store.run(work)] == [{same[0].attempt_id: Admission.MAY_SEND}] * 2
    assert gate_of(store).held_usd == pytest.approx(1.0)


def test_a_cap_set_later_counts_what_the_ledger_holds_already(store: Store):
    batch_id = batch_of(store, 2)
    first, second = started(store)
    [(attempt, _)] = ask(store, [first])
    persist(store, closing=answered(attempt, cost_usd=0.7), ending=success(first))
    batch = open_batch(store, name="b", provider="p", queue="bulk", gate=GateRequest(max_usd=1.0))
    add_jobs(store, batch, [], gate=GateRequest(max_usd=1.0))
    assert gate_of(store).held_usd == pytest.approx(0.7)
    assert verdicts(ask(store, [second])) == ["closed"]
    assert not store.run(lambda connection: held_of_batch(connection, batch_id)) > 0.7


def test_an_enqueue_that_is_refused_changes_neither_cap_nor_weight(store: Store):
    batch_of(store, 1, GateRequest(max_usd=0.5))
    [job] = started(store)
    assert verdicts(ask(store, [job])) == ["closed"]
    higher = GateRequest(max_usd=9.0, weight=3.0)
    batch = open_batch(store, name="b", provider="p", queue="bulk", gate=higher)
    with pytest.raises(InvalidInput):
        add_jobs(store, batch, [new_job("b000", prompt="another")], gate=higher)
    assert (gate_of(store).max_usd, gate_of(store).weight) == (0.5, 1.0)
    assert gate_of(store).closed_by is ClosedBy.SPEND_CAP

    add_jobs(store, batch, [new_job("b000"), new_job("b001")], gate=higher)
    assert (gate_of(store).max_usd, gate_of(store).weight, gate_of(store).closed_by) == (9.0, 3.0, None)


def test_under_a_cap_a_model_without_a_price_closes_its_batch(store: Store):
    batch_of(store, 1)
    working = started(store)
    assert verdicts(ask(store, working, usd=None, day=9.0)) == ["closed"]
    assert gate_of(store).closed_by is ClosedBy.NO_PRICE
    assert "price of m" in gate_of(store).message


def test_without_a_cap_a_model_without_a_price_is_sent(store: Store):
    batch_of(store, 1)
    assert verdicts(ask(store, started(store), usd=None)) == ["may_send"]


def test_a_day_closes_for_all_batches_and_opens_with_the_next_one(store: Store):
    batch_of(store, 2, deadline_seconds=3600.0)
    batch_of(store, 1, name="c")
    first, *others = started(store)
    [(attempt, _)] = ask(store, [first], day=1.5)
    persist(store, closing=answered(attempt, cost_usd=1.0), ending=success(first))
    assert verdicts(ask(store, others, day=1.5)) == ["closed", "closed"]
    store.run(lambda connection: free_claims(connection, [job.id for job in others], worker_ids={"w1"}))
    assert publish(store) == []

    move_clock(store, "day_gates", "ends_at", 2 * 86_400)
    move_clock(store, "day_gates", "closed_at", 600)
    with store.snapshot() as connection:
        before = connection.execute(select(func.min(jobs.c.deadline_at)).where(jobs.c.state == "ready")).scalar_one()
    assert store.run(end_days) == ["p"]
    with store.snapshot() as connection:
        after = connection.execute(select(func.min(jobs.c.deadline_at)).where(jobs.c.state == "ready")).scalar_one()
    assert 0 < after - before < 600
    assert len(publish(store)) == 2


def test_a_day_that_is_capped_from_its_middle_counts_what_was_spent_before(store: Store):
    batch_of(store, 2)
    first, second = started(store)
    [(attempt, _)] = ask(store, [first])
    persist(store, closing=answered(attempt, cost_usd=0.8), ending=success(first))
    assert verdicts(ask(store, [second], day=1.0)) == ["closed"]
    with store.snapshot() as connection:
        [day] = read_days(connection)
    assert (day.held_usd, day.closed_at is None) == (pytest.approx(0.8), False)
    assert store.run(resume_days) == ["p"]
    assert verdicts(ask(store, [second], day=2.0)) == ["may_send"]


def test_processes_side_by_side_never_hold_more_than_the_cap(store: Store):
    batch_of(store, 40, GateRequest(max_usd=5.0, starts_carefully=False))
    working = started(store)
    sent: list[str] = []

    def process(mine: list[ClaimedJob]) -> None:
        for job in mine:
            for attempt, verdict in ask(store, [job]):
                if verdict is Admission.MAY_SEND:
                    sent.append(attempt)

    threads = [threading.Thread(target=process, args=(working[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 5
    assert gate_of(store).held_usd == pytest.approx(5.0)


def test_a_pilot_starts_jobs_spread_over_the_input_and_the_rest_only_when_it_is_let_go(store: Store):
    batch_id = batch_of(store, 100, GateRequest(pilot_jobs=4, starts_carefully=False))
    assert publish(store) == [], "nothing starts before the pilot is chosen"
    for _again in range(2):
        store.run(lambda connection: choose_pilot(connection, batch_id, 4))
    working = started(store)
    assert [job.item_id for job in working] == ["b012", "b037", "b062", "b087"]
    for job in working:
        persist(store, ending=success(job))
    pilot = gate_of(store).pilot
    assert pilot is not None
    assert (pilot.jobs, pilot.finished, pilot.is_over) == (4, 4, True)
    assert publish(store) == []

    open_batch(store, name="b", provider="p", queue="bulk", gate=GateRequest(pilot_jobs=4))  # the same command again
    assert store.run(lambda connection: resume_batch(connection, batch_id))
    assert len(publish(store)) == 96
    with pytest.raises(InvalidInput, match="no pilot any more"):
        open_batch(store, name="b", provider="p", queue="bulk", gate=GateRequest(pilot_jobs=4))


def test_until_one_succeeds_few_jobs_of_a_batch_start(store: Store):
    batch_of(store, 20, GateRequest())
    working = started(store)
    assert len(working) == 3
    assert publish(store) == []
    persist(store, ending=success(working[0]))
    assert len(publish(store)) == 17


def test_first_jobs_that_all_fail_alike_close_the_batch(store: Store):
    batch_id = batch_of(store, 20, GateRequest())
    for job in started(store):
        persist(store, ending=failure(job, FailureKind.REJECTED_REQUEST))
    assert publish(store) == []
    assert gate_of(store).closed_by is ClosedBy.SAME_FAILURE
    assert "first 3 jobs all failed alike (rejected_request): no" in gate_of(store).message

    assert retry_failed(store, "b") == 3
    assert gate_of(store).closed_by is None
    for job in started(store):
        persist(store, ending=failure(job, FailureKind.REJECTED_REQUEST))
    assert gate_of(store).closed_by is ClosedBy.SAME_FAILURE, "a new round is judged anew"
    assert store.run(lambda connection: resume_batch(connection, batch_id))
    assert len(publish(store)) == 17, "somebody wants the rest sent all the same"


@pytest.mark.parametrize("kinds", [["refused"] * 3, ["rejected_request", "refused", "truncated"]])
def test_failures_of_single_texts_or_of_several_kinds_close_nothing(store: Store, kinds: list[str]):
    batch_of(store, 20, GateRequest())
    for job, kind in zip(started(store), kinds, strict=True):
        persist(store, ending=failure(job, FailureKind(kind)))
    assert gate_of(store).closed_by is None
    assert len(publish(store)) == 17


def test_a_failure_that_other_models_of_the_batch_need_not_share_closes_nothing(store: Store):
    batch = open_batch(store, name="b", provider="p", queue="bulk", gate=GateRequest())
    specs = [new_job(f"b{number}") for number in range(6)]
    others = [replace(each, spec=replace(each.spec, model="n")) for each in specs[3:]]
    add_jobs(store, batch, [*specs[:3], *others])
    working = started(store)
    for job in working:
        persist(store, ending=failure(job, FailureKind.REJECTED_REQUEST))
    assert gate_of(store).closed_by is None


def test_a_batch_of_an_older_release_has_no_gate_and_can_get_a_cap(store: Store):
    batch_id = batch_of(store, 3, None)
    assert gate_of(store) == BatchGate(batch="b")
    assert len(publish(store)) == 3
    assert store.run(lambda connection: resume_batch(connection, batch_id, max_usd=1.0))
    assert gate_of(store).max_usd == 1.0
    with store.snapshot() as connection:
        assert connection.execute(select(func.count()).select_from(batch_gates)).scalar_one() == 1
