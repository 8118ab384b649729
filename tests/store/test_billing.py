"""The bill: what the ledger says is due, by day, batch, model and purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from tests.store.steps import answered, claimed, persist, send, success
from workers.contract.outcome import AttemptEnding, Usage
from workers.store.billing import BillLine, read_bill
from workers.store.ledger import AttemptClosing
from workers.store.releases import Release, free_claims
from workers.store.tables import attempts

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.claims import ClaimedJob

NOON = 1_795_780_800.0
"""2026-11-27, 12:00 UTC."""
DAY_SECONDS = 86_400.0


def bill_of(store: Store, **selection: object) -> list[BillLine]:
    with store.snapshot() as connection:
        return read_bill(connection, **selection)  # type: ignore[arg-type] # its own options


def paid(store: Store, job: ClaimedJob, *, opened_at: float = NOON, **closing: object) -> None:
    attempt = send(store, job, most_usd=9.0) or ""
    ended = AttemptClosing(attempt_id=attempt, ending=AttemptEnding.ANSWERED, **closing)  # type: ignore[arg-type]
    persist(store, closing=ended, ending=success(job))
    with store.transaction() as connection:
        connection.execute(update(attempts).where(attempts.c.id == attempt).values(opened_at=opened_at))


def test_a_line_holds_what_an_invoice_holds(store: Store):
    usage = Usage(
        prompt_tokens=1_000, cached_tokens=600, cache_write_tokens=300, completion_tokens=80, reasoning_tokens=50
    )
    for job in claimed(store, 2):
        paid(store, job, usage=usage, cost_usd=0.5, surcharge_usd=0.25, service_tier="default")

    [line] = bill_of(store)

    assert line.as_line() == {
        "day": "2026-11-27", "batch": "b", "provider": "p", "model": "m", "purpose": "grade", "tier": "default",
        "lane": "live",
        "answered": 2, "open": 0, "unpriced": 0, "input_tokens": 200, "cached_tokens": 1_200,
        "cache_write_tokens": 600, "output_tokens": 160, "reasoning_tokens": 100, "surcharge_usd": 0.5,
        "low_usd": 1.0, "likely_usd": 1.0, "high_usd": 1.0,
    }  # fmt: skip


def test_days_end_at_midnight_utc_and_the_first_can_be_chosen(store: Store):
    first, second = claimed(store, 2)
    paid(store, first, cost_usd=0.5)
    paid(store, second, cost_usd=0.25, opened_at=NOON + DAY_SECONDS / 2)

    assert [(line.day, line.low_usd) for line in bill_of(store)] == [("2026-11-27", 0.5), ("2026-11-28", 0.25)]
    assert [line.day for line in bill_of(store, since_seconds=NOON + DAY_SECONDS / 2)] == ["2026-11-28"]
    assert bill_of(store, batch="another") == []


@pytest.mark.parametrize("ending", [AttemptEnding.UNKNOWN, AttemptEnding.TIMED_OUT, None])
def test_a_request_without_a_known_end_counts_from_nothing_to_the_most_it_can_cost(
    store: Store, ending: AttemptEnding | None
):
    known, lost = claimed(store, 2)
    paid(store, known, cost_usd=0.5)
    attempt = send(store, lost, most_usd=2.0) or ""
    if ending is AttemptEnding.UNKNOWN:
        store.run(lambda connection: free_claims(connection, [lost.id], worker_ids={"w1"}))
    elif ending is not None:
        persist(store, closing=AttemptClosing(attempt_id=attempt, ending=ending))

    lines = bill_of(store)

    assert (sum(line.low_usd for line in lines), sum(line.high_usd for line in lines)) == (0.5, 2.5)
    assert (sum(line.answered for line in lines), sum(line.open for line in lines)) == (1, 1)


def test_a_late_answer_makes_an_interval_a_number(store: Store):
    [job] = claimed(store)
    attempt = send(store, job, most_usd=2.0) or ""
    store.run(lambda connection: free_claims(connection, [job.id], worker_ids={"w1"}))

    persist(store, closing=answered(attempt, cost_usd=0.5), ending=success(job))

    assert [(line.low_usd, line.high_usd, line.open) for line in bill_of(store)] == [(0.5, 0.5, 0)]


def test_what_was_never_billed_is_on_no_line(store: Store):
    for job, ending in zip(claimed(store, 2), (AttemptEnding.NOT_SENT, AttemptEnding.THROTTLED), strict=True):
        closing = AttemptClosing(attempt_id=send(store, job, most_usd=2.0) or "", ending=ending)
        persist(store, closing=closing, release=Release(job_id=job.id, claim=job.claim, after_seconds=0.0))

    assert bill_of(store) == []


def test_a_request_without_a_price_is_counted_and_never_free(store: Store):
    known, unknown = claimed(store, 2)
    persist(store, closing=answered(send(store, known) or "", cost_usd=None), ending=success(known))
    send(store, unknown)

    lines = bill_of(store)

    assert sum(line.unpriced for line in lines) == 2


def test_a_request_without_a_known_end_likely_cost_what_the_answered_ones_of_its_kind_did(store: Store):
    first, second, *lost = claimed(store, 4)
    paid(store, first, cost_usd=0.25, service_tier="default")
    paid(store, second, cost_usd=0.75, service_tier="default")
    send(store, lost[0], most_usd=2.0)
    send(store, lost[1], most_usd=0.125)

    lines = bill_of(store)

    assert sum(line.low_usd for line in lines) == 1.0
    assert sum(line.likely_usd for line in lines) == 1.0 + 2 * 0.5
    assert sum(line.high_usd for line in lines) == 1.0 + 2.0 + 0.125


def test_where_nothing_was_answered_the_likely_cost_is_the_highest(store: Store):
    [lost] = claimed(store, 1)
    send(store, lost, most_usd=2.0)

    [line] = bill_of(store)

    assert (line.low_usd, line.likely_usd, line.high_usd) == (0.0, 2.0, 2.0)


def test_a_request_without_a_known_end_likely_cost_what_its_own_jobs_answer_did(store: Store):
    short, long = claimed(store, 2)
    send(store, long, most_usd=2.0)  # lost, and asked again
    paid(store, short, cost_usd=0.25)
    paid(store, long, cost_usd=1.25)

    assert sum(line.likely_usd for line in bill_of(store)) == 1.5 + 1.25


@pytest.mark.parametrize(("status", "likely_usd"), [(None, 0.5), (200, 1.0)], ids=["no response", "broken off"])
def test_a_connection_that_was_closed_before_a_response_likely_cost_nothing(
    store: Store, status: int | None, likely_usd: float
):
    [job] = claimed(store)
    lost = AttemptClosing(
        attempt_id=send(store, job, most_usd=2.0) or "",
        ending=AttemptEnding.FAILED,
        status_code=status,
        may_be_billed=True,
    )
    persist(store, closing=lost)
    paid(store, job, cost_usd=0.5)

    lines = bill_of(store)

    assert sum(line.likely_usd for line in lines) == likely_usd
    assert sum(line.high_usd for line in lines) == 2.5, "nobody knows it for certain"
