"""What will be late, from what is known of a model and of the work beside the batch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from producer.inputs.lateness import outlook
from workers.store.forecast import ModelDemand, Speed, Waiting

NOW = datetime(2026, 12, 1, 7, tzinfo=UTC)


def of(own: Waiting, *others: Waiting, speed: Speed, minutes: float = 60.0):
    demand = ModelDemand(model="m", own=own, others=others, speed=speed)
    return outlook(demand, NOW + timedelta(minutes=minutes), now=NOW.timestamp())


def test_alone_a_batch_starts_as_many_as_the_limit_lets_through():
    found = of(Waiting(jobs=6000), speed=Speed(requests_per_minute=60))
    assert (found.late, found.last_at) == (2400, NOW + timedelta(minutes=100))
    assert found.sentence == (
        "about 2,400 of 6,000 jobs for m will be too late: at 60 requests a minute (its limit), the last would start "
        "about 2026-12-01 08:40; asked for by 2026-12-01 08:00"
    )


def test_a_batch_in_time_is_said_to_be():
    found = of(Waiting(jobs=1), speed=Speed(requests_per_minute=0.5))
    assert found.late == 0
    assert found.sentence.startswith(
        "1 job for m: the last is expected to start about 2026-12-01 07:02, at 0.5 requests"
    )


@pytest.mark.parametrize(
    ("speed", "late", "because"),
    [
        (Speed(requests_per_minute=600, tokens_per_minute=60_000, request_tokens=2000), 1200, "its limit of tokens"),
        (Speed(requests_per_minute=600, calls_in_flight=4, request_seconds=6), 600, "your limit of calls in flight"),
        (Speed(requests_per_minute=20, answers_per_minute=500), 1800, "its limit"),
        (Speed(answers_per_minute=25), 1500, "as in earlier runs"),
        (Speed(tokens_per_minute=60_000), None, ""),
        (Speed(), None, ""),
    ],
)
def test_the_tightest_limit_counts_and_without_any_the_pace_of_earlier_runs(
    speed: Speed, late: int | None, because: str
):
    found = of(Waiting(jobs=3000), speed=speed)
    assert (found.late, found.because) == (late, because)


def test_nothing_known_is_said_and_no_number_is_made_up():
    assert of(Waiting(jobs=3), speed=Speed()).sentence == (
        "whether 3 jobs for m can start by 2026-12-01 08:00 is not known: m has no known limit and no earlier answer"
    )


@pytest.mark.parametrize(
    ("own", "others", "late", "minutes"),
    [
        (Waiting(jobs=50), [Waiting(jobs=10_000)], 0, 100 / 60),  # a small batch is not held up by a large one
        (Waiting(jobs=3600), [Waiting(jobs=10_000)], 1800, 120),
        (Waiting(jobs=3600), [Waiting(jobs=10_000, weight=3)], 2700, 13_600 / 60),
        (Waiting(jobs=3600, weight=3), [Waiting(jobs=10_000)], 900, 80),
        (Waiting(jobs=3600), [Waiting(jobs=600)], 600, 70),  # what is done leaves its share to the others
        (Waiting(jobs=3600), [Waiting(jobs=600, is_first=True)], 600, 70),
        (Waiting(jobs=30), [Waiting(jobs=9000, is_first=True)], 30, 9030 / 60),
        (Waiting(jobs=3600), [Waiting(jobs=300), Waiting(jobs=300), Waiting(jobs=9999)], 2100, 130),
    ],
)
def test_batches_beside_it_take_their_share_by_weight_and_interactive_ones_come_first(
    own: Waiting, others: list[Waiting], late: int, minutes: float
):
    found = of(own, *others, speed=Speed(requests_per_minute=60))
    assert found.late == late
    assert found.last_at is not None
    assert (found.last_at - NOW).total_seconds() / 60 == pytest.approx(minutes)


def test_a_batch_without_an_end_in_sight_names_no_date():
    found = of(Waiting(jobs=10**9), speed=Speed(requests_per_minute=1))
    assert "the last would start in more than a year" in found.sentence
