"""Chaos with real processes: the books balance afterwards. `python -m ops.bench.chaos` does it for as long as asked."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from ops.bench.chaos.audit import Books
from ops.bench.chaos.judge import complaints
from ops.bench.chaos.run import Kill, Plan, Report, run_chaos
from ops.bench.chaos.services import Cluster

pytestmark = pytest.mark.acceptance

SECONDS = float(os.environ.get("CHAOS_SECONDS", "24"))
"""Four or five kills; the drain comes on top."""


@pytest.mark.timeout(600)
def test_killed_workers_a_lost_broker_and_a_restarted_store_lose_and_repeat_nothing():
    plan = Plan(duration=SECONDS, wave=120, with_postgresql=Cluster.is_possible())
    report = run_chaos(plan)

    assert complaints(report, plan) == [], "\n".join([*report.events, str(report.books)])


GOOD = Books(
    enqueued=10,
    stored=10,
    finished=10,
    failed={},
    rounds_with_outcome=10,
    overwritten=0,
    endings={"answered": 10, "unknown": 2},
    provider_calls=12,
    repeated_calls=2,
    calls_not_in_ledger=0,
    miscounted=(),
)


def report_of(books: Books) -> Report:
    return Report(
        books=books,
        kills=[Kill(calls_at_provider=60, calls_of_worker=2)] * 8,
        events=[],
        most_in_flight=60,
        marker_found_in=[],
        stopped_in_order=True,
        seconds=1.0,
    )


def test_the_judge_finds_nothing_in_balanced_books():
    assert complaints(report_of(GOOD), Plan(duration=40)) == []


@pytest.mark.parametrize(
    ("books", "complaint"),
    [
        (replace(GOOD, finished=9), "lost"),
        (replace(GOOD, stored=9), "lost"),
        (replace(GOOD, failed={"internal": 1}), "failed"),
        (replace(GOOD, overwritten=1), "overwritten"),
        (replace(GOOD, rounds_with_outcome=11), "outcomes for"),
        (replace(GOOD, repeated_calls=17), "repeated"),
        (replace(GOOD, calls_not_in_ledger=1), "not in the ledger"),
        (replace(GOOD, endings={"None": 1}), "open"),
        (replace(GOOD, miscounted=("job_tallies",)), "differ from a recount: job_tallies"),
    ],
)
def test_the_judge_finds_what_is_wrong_in_the_books(books: Books, complaint: str):
    [found] = complaints(report_of(books), Plan(duration=40))
    assert complaint in found


def test_the_judge_finds_a_marker_and_a_run_that_was_too_easy():
    report = report_of(GOOD)
    report.marker_found_in = ["broker (0)"]
    report.kills = [Kill(calls_at_provider=10, calls_of_worker=2)]
    report.stopped_in_order = False
    assert len(complaints(report, Plan(duration=40))) == 4
