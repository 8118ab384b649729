"""Background responses with a window: our client against the stand-in, over a real socket."""

from __future__ import annotations

import pytest

from tests.support.lane_calls import MARKS, PROFILE, asking, provider
from workers.completion.attempt import attempt_completion
from workers.completion.lanes import background
from workers.completion.lanes.errors import LaneCallFailed
from workers.completion.lanes.states import BackgroundStatus, NotRun
from workers.contract.lane import Lane
from workers.contract.outcome import Failure, Success


@pytest.mark.parametrize("lane", [Lane.WINDOW_2H, Lane.WINDOW_8H])
async def test_a_background_response_is_answered_within_its_window_for_less(lane: Lane):
    request = asking("work", instructions="Be fair. " * 700, cache_key="k", effort="low", asks_standard_tier=True)
    async with provider() as (standin, client):
        made = await background.create_background(client, request, lane, "m")
        states = [made.status]
        for seconds in (85, 15):
            await standin.pass_time(seconds)
            state = await background.retrieve_background(client, made.response_id)
            states.append(state.status)
        ended = background.ended_background(state, request)
        (line,) = standin.state.invoice.as_json()["lines"]
        assert await background.delete_background(client, made.response_id)
        assert not await background.delete_background(client, made.response_id)
    assert states == [BackgroundStatus.QUEUED, BackgroundStatus.IN_PROGRESS, BackgroundStatus.COMPLETED]
    assert isinstance(ended.ending, Success)
    usage = ended.reply.usage
    assert usage is not None
    assert usage.cache_write_tokens > 0
    assert usage.reasoning_tokens > 0
    assert (line["lane"], ended.reply.system_fingerprint) == (lane.value, "fp_standin")
    assert line["usd"] == pytest.approx(PROFILE.cost_usd(usage, tier=ended.reply.service_tier, lane=lane))


@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark not in {"odd_metadata", "bad_key"}])
async def test_every_ending_in_the_background_is_the_live_one(mark: str):
    request = asking(f"work [[standin:{mark}]]" if mark else "work")
    async with provider() as (standin, client):
        live = (await attempt_completion(client, request)).ending
        try:
            made = await background.create_background(client, request, Lane.WINDOW_2H, "m")
        except LaneCallFailed as refused:
            later: object = refused.ending
        else:
            await standin.pass_time(100)
            state = await background.retrieve_background(client, made.response_id)
            later = background.ended_background(state, request).ending
    assert type(later) is type(live)
    if isinstance(live, Failure):
        assert isinstance(later, Failure)
        assert later.kind is live.kind


@pytest.mark.parametrize(("waited", "is_answered"), [(0, False), (90, False), (100, True)])
async def test_a_cancelled_response_is_answered_or_not_run(waited: int, *, is_answered: bool):
    request = asking("work")
    async with provider() as (standin, client):
        made = await background.create_background(client, request, Lane.WINDOW_8H, "m")
        await standin.pass_time(waited)
        state = await background.cancel_background(client, made.response_id)
        again = await background.cancel_background(client, made.response_id)
        ended = background.ended_background(state, request)
        billed = standin.state.invoice.as_json()["requests"]
    assert again.status is state.status
    assert isinstance(ended.ending, Success) == is_answered == bool(billed)
    assert isinstance(ended.ending, NotRun) != is_answered
