"""Which lane a job takes."""

from __future__ import annotations

import pytest

from workers.contract.errors import InvalidInput
from workers.contract.lane import Lane
from workers.contract.lane_choice import PUBLISHED_TIMES, LaneTime, PriceWish, choose_lane, price_wish, reserve_seconds

HOUR = 3600.0


def chosen(wish: PriceWish, left: float | None, **given: object) -> Lane:
    return choose_lane(wish, seconds_to_deadline=left, jobs=10, **({"times": PUBLISHED_TIMES} | given))


@pytest.mark.parametrize(
    ("wish", "left", "lane"),
    [
        (PriceWish.LIVE, None, Lane.LIVE),
        (PriceWish.LOWEST, None, Lane.BATCH),
        (PriceWish.LOWEST, 24 * HOUR, Lane.BATCH),
        (PriceWish.LOWEST, 0.25 * HOUR, Lane.BATCH),
        (PriceWish.LOWEST, 600.0, Lane.BATCH),  # one of five is answered by then, and trying costs nothing
        (PriceWish.LOWEST, 240.0, Lane.LIVE),
        (PriceWish.LOWEST, -5.0, Lane.LIVE),
        (PriceWish.BALANCED, 0.25 * HOUR, Lane.LIVE),
        (PriceWish.BALANCED, 2 * HOUR, Lane.BATCH),
        (PriceWish.BALANCED, None, Lane.BATCH),
    ],
)
def test_the_cheapest_lane_that_is_there_in_time(wish: PriceWish, left: float | None, lane: Lane):
    assert chosen(wish, left) is lane


def test_a_slow_lane_is_left_for_a_faster_one_and_a_barred_one_is_not_taken():
    slow = {**PUBLISHED_TIMES, Lane.BATCH: LaneTime(typical_seconds=40 * HOUR, likely_seconds=80 * HOUR)}
    assert chosen(PriceWish.LOWEST, 8 * HOUR, times=slow) is Lane.WINDOW_8H
    assert chosen(PriceWish.BALANCED, None, times=slow) is Lane.WINDOW_2H
    assert chosen(PriceWish.LOWEST, None, barred={Lane.BATCH}) is Lane.WINDOW_8H
    assert chosen(PriceWish.LOWEST, None, barred=set(PUBLISHED_TIMES)) is Lane.LIVE


def test_many_jobs_leave_earlier_for_they_take_longer_live():
    assert reserve_seconds(1000, live_jobs_per_second=1.0) == 1000 + reserve_seconds(0)
    assert chosen(PriceWish.LOWEST, 0.25 * HOUR, live_jobs_per_second=0.01) is Lane.LIVE


def test_an_unknown_wish_is_named_with_the_known_ones():
    with pytest.raises(InvalidInput, match="lowest, balanced, live"):
        price_wish("cheap")
    assert price_wish(None) is None


@pytest.mark.parametrize(("left", "expected"), [(600.0, 90.0), (3600.0, 360.0), (86_400.0, 600.0), (-5.0, 90.0)])
def test_who_has_more_time_keeps_more_of_it_for_the_cancellation(left: float, expected: float):
    assert reserve_seconds(10, seconds_left=left) - reserve_seconds(10) == expected - 90.0
