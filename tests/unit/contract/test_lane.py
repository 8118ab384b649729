"""The lanes: what each costs and how long it may take."""

from __future__ import annotations

import itertools

import pytest

from workers.contract.lane import Lane
from workers.contract.model_profile import profile_of
from workers.contract.outcome import Usage

LONG = Usage(
    prompt_tokens=400_000, cached_tokens=100_000, cache_write_tokens=50_000, completion_tokens=900, reasoning_tokens=100
)


@pytest.mark.parametrize(
    ("lane", "share", "hours"),
    [(Lane.LIVE, 1.0, None), (Lane.WINDOW_2H, 0.7, 2), (Lane.WINDOW_8H, 0.6, 8), (Lane.BATCH, 0.5, 24)],
)
def test_every_part_of_an_answer_costs_its_lanes_share(lane: Lane, share: float, hours: int | None):
    profile = profile_of("gpt-6.1-terra")
    live, live_extra = profile.cost_usd(LONG), profile.surcharge_usd(LONG)
    assert live is not None
    assert live_extra is not None
    assert live_extra > 0
    assert profile.cost_usd(LONG, lane=lane) == pytest.approx(live * share)
    assert profile.surcharge_usd(LONG, lane=lane) == pytest.approx(live_extra * share)
    assert (lane.longest and lane.longest.total_seconds() / 3600) == hours
    assert lane.completion_window == (hours and f"{hours}h")


def test_a_price_that_is_not_known_is_none_in_every_lane():
    usage = Usage(prompt_tokens=10, completion_tokens=1)
    assert {profile_of("some-model").cost_usd(usage, lane=lane) for lane in Lane} == {None}
    assert {profile_of("gpt-4o").cost_usd(usage, tier="priority", lane=lane) for lane in Lane} == {None}


def test_who_waits_longer_pays_less():
    assert all(slow.price_factor < fast.price_factor for fast, slow in itertools.pairwise(Lane))
