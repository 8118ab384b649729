"""Jobs that wait for a cheaper lane, and submissions that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from tests.store.steps import claim, enqueue, job_row, new_job, publish
from workers.contract.lane import Lane
from workers.contract.lane_choice import PUBLISHED_TIMES, LaneTime, PriceWish
from workers.contract.outcome import AttemptEnding
from workers.store.admission import Admission
from workers.store.day_caps import DayCaps
from workers.store.enqueue import add_jobs, open_batch
from workers.store.gates import GateRequest
from workers.store.lanes.returning import give_back, unanswered
from workers.store.lanes.submissions import SubmissionState, advance, read_submission
from workers.store.lanes.times import blended, note_refusal, refused_lanes
from workers.store.lanes.waiting import candidates, lines, take, waiting_groups
from workers.store.ledger import AttemptOpening, Purpose
from workers.store.pilots import choose_pilot
from workers.store.sql import new_id
from workers.store.steering import cancel_batch, retry_failed
from workers.store.tables import attempts, batch_gates, jobs, now_seconds

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from workers.store import Store
    from workers.store.enqueue import EnqueueReport

HOUR = 3600.0


def enqueue_cheaply(
    store: Store,
    count: int = 3,
    *,
    price: PriceWish = PriceWish.LOWEST,
    gate: GateRequest | None = None,
    **parameters: object,
) -> EnqueueReport:
    gate = gate or GateRequest(price=price, starts_carefully=False)
    batch = open_batch(store, name="b", provider="p", queue="bulk", gate=gate)
    return add_jobs(store, batch, [new_job(f"i{each}", **parameters) for each in range(count)], gate=gate)


def lanes_of(store: Store) -> list[str | None]:
    with store.snapshot() as connection:
        return list(connection.execute(select(jobs.c.lane).order_by(jobs.c.position)).scalars())


def handed_over(
    store: Store, *, most_usd: float | None = None, max_usd_per_day: float | None = None
) -> tuple[str, list[Admission]]:
    """Everything that waits, in one submission."""
    submission_id, caps = new_id(), DayCaps(by_account={"p": max_usd_per_day})

    def assign(connection: Connection) -> dict[str, Admission]:
        [group] = waiting_groups(connection, "p")
        found = candidates(connection, group, at_most=500, within_seconds=None)
        openings = [
            AttemptOpening(
                attempt_id=new_id(),
                job_id=job.id,
                batch_id=job.batch_id,
                account=job.account,
                round=job.round,
                claim=job.claim,
                worker_id=submission_id,
                purpose=Purpose.GRADE,
                model=job.model,
                most_usd=most_usd,
                lane=Lane.BATCH,
                submission_id=submission_id,
            )
            for job in found
        ]
        return take(connection, submission_id, openings, day_caps=caps, input_tokens=100)

    return submission_id, list(store.run(assign).values())


def test_jobs_of_a_cheap_batch_wait_and_no_worker_takes_them(store: Store):
    enqueue_cheaply(store)
    assert lanes_of(store) == ["batch"] * 3
    assert publish(store) == []
    with store.snapshot() as connection:
        [group] = waiting_groups(connection, "p")
        assert waiting_groups(connection, "other") == []
    assert (group.jobs, group.wish, group.seconds_to_deadline) == (3, PriceWish.LOWEST, None)


def test_a_batch_without_a_wish_is_live(store: Store):
    enqueue(store, 2)
    assert lanes_of(store) == [None, None]
    assert len(publish(store)) == 2


@pytest.mark.parametrize(("seconds", "lane"), [(200.0, None), (2 * HOUR, "batch")])
def test_what_has_no_time_is_live_at_once(store: Store, seconds: float, lane: str | None):
    enqueue_cheaply(store, 1, deadline_seconds=seconds)
    assert lanes_of(store) == [lane]


def test_what_nobody_hands_over_goes_live_in_time(store: Store):
    enqueue_cheaply(store, 1, deadline_seconds=2 * HOUR)
    with store.transaction() as connection:
        connection.execute(update(jobs).values(not_before=now_seconds() - 1))
        assert waiting_groups(connection, "p") == []
    [job_id] = publish(store)
    assert claim(store, [job_id])[job_id].claim == 1
    assert lanes_of(store) == [None]


def test_the_first_jobs_of_a_large_batch_and_a_pilot_go_live(store: Store):
    enqueue_cheaply(store, 60, gate=GateRequest(price=PriceWish.LOWEST))
    assert [lane is None for lane in lanes_of(store)] == [True] * 3 + [False] * 57
    with store.snapshot() as connection:
        assert waiting_groups(connection, "p") == []  # nobody knows yet whether it can succeed
    with store.transaction() as connection:
        connection.execute(update(batch_gates).values(proven_at=now_seconds()))
        assert [group.jobs for group in waiting_groups(connection, "p")] == [57]


def test_a_pilot_goes_live(store: Store):
    gate = GateRequest(price=PriceWish.LOWEST, pilot_jobs=2, starts_carefully=False)
    report = enqueue_cheaply(store, 4, gate=gate)
    store.run(lambda connection: choose_pilot(connection, report.batch.id, 2))
    assert [lane is None for lane in lanes_of(store)] == [False, True, False, True]
    with store.snapshot() as connection:
        assert waiting_groups(connection, "p") == []


def test_a_submission_takes_jobs_with_their_ledger_rows(store: Store):
    enqueue_cheaply(store)
    submission_id, admissions = handed_over(store)
    assert admissions == [Admission.MAY_SEND] * 3
    with store.snapshot() as connection:
        rows = connection.execute(select(attempts.c.lane, attempts.c.submission_id, attempts.c.ending)).all()
        assert [tuple(row) for row in rows] == [("batch", submission_id, None)] * 3
        assert read_submission(connection, submission_id).requests == 3
        assert waiting_groups(connection, "p") == []
    found = store.run(lambda connection: lines(connection, submission_id, after="", at_most=10))
    assert [(line.is_held, line.job.claim, line.job.prompt) for line in found] == [(True, 1, "grade this")] * 3
    assert publish(store) == []


def test_a_full_cap_lets_nothing_in_and_the_jobs_wait_as_before(store: Store):
    enqueue_cheaply(store)
    submission_id, admissions = handed_over(store, most_usd=0.4, max_usd_per_day=0.9)
    assert sorted(map(str, admissions)) == ["may_send", "may_send", "no_room"]
    with store.snapshot() as connection:
        assert read_submission(connection, submission_id).requests == 2
        assert [group.jobs for group in waiting_groups(connection, "p")] == [1]


@pytest.mark.parametrize(("lane", "published"), [(Lane.LIVE, 3), (Lane.WINDOW_8H, 0)])
def test_what_got_no_answer_waits_again_for_the_next_lane(store: Store, lane: Lane, published: int):
    enqueue_cheaply(store)
    submission_id, _ = handed_over(store)
    held = store.run(lambda connection: unanswered(connection, submission_id, at_most=10))
    freed = store.run(lambda connection: give_back(connection, submission_id, held, lane=lane, reserve_seconds=60.0))
    assert (freed, len(publish(store))) == (3, published)
    assert lanes_of(store) == [None if lane is Lane.LIVE else str(lane)] * 3
    with store.snapshot() as connection:
        assert set(connection.execute(select(attempts.c.ending)).scalars()) == {str(AttemptEnding.NOT_SENT)}


def test_what_was_to_be_cancelled_ends_when_it_is_given_back(store: Store):
    report = enqueue_cheaply(store, 1)
    submission_id, _ = handed_over(store)
    assert cancel_batch(store, "b") == (0, 1)
    held = store.run(lambda connection: unanswered(connection, submission_id, at_most=10))
    store.run(lambda connection: give_back(connection, submission_id, held, lane=Lane.LIVE, reserve_seconds=60.0))
    assert job_row(store, held[0]).state == "failed"
    retry_failed(store, report.batch.name)
    assert lanes_of(store) == ["batch"]


def test_a_state_is_left_once(store: Store):
    enqueue_cheaply(store, 1)
    submission_id, _ = handed_over(store)
    step = {"since": {SubmissionState.BUILDING}, "to": SubmissionState.UPLOADED}
    assert store.run(lambda connection: advance(connection, submission_id, **step, input_file="f1"))
    assert not store.run(lambda connection: advance(connection, submission_id, **step, input_file="f2"))
    with store.snapshot() as connection:
        assert read_submission(connection, submission_id).input_file == "f1"


def test_what_a_server_does_not_offer_is_known_for_a_day(store: Store):
    store.run(lambda connection: note_refusal(connection, "p", Lane.BATCH, "", "no batches"))
    with store.snapshot() as connection:
        assert refused_lanes(connection, "p") == {("p", Lane.BATCH, ""): "no batches"}
        assert refused_lanes(connection, "q") == {}


def test_times_are_learned_from_the_published_ones_on():
    published = PUBLISHED_TIMES[Lane.BATCH]
    assert blended([], published) == published
    seen = blended([100.0] * 96, published)
    assert seen.typical_seconds == pytest.approx(0.96 * 100 + 0.04 * published.typical_seconds)
    assert isinstance(seen, LaneTime)
