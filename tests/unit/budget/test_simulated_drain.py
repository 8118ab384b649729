"""The scripts against a simulated provider: what the quota makes of them.

The provider is the stand-in's own limiter. Its headers are written when a call is admitted or when it is answered;
both kinds of provider exist, and neither says which it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.unit.budget.conftest import Clock
    from tests.unit.budget.draining import Drain


@pytest.mark.parametrize("headers_at_admission", [False, True], ids=["at answer", "at admission"])
@pytest.mark.parametrize("latency_seconds", [0.2, 3.0, 15.0])
@pytest.mark.parametrize("slice_seconds", [1.0, 10.0])
async def test_a_request_limit_is_used_up_without_refusals(
    drain: Callable[..., Drain],
    headers_at_admission: bool,  # noqa: FBT001 - pytest passes by name
    latency_seconds: float,
    slice_seconds: float,
):
    config = {"rpm": 1200, "slice_seconds": slice_seconds}
    run = drain(latency_seconds, config, headers_at_admission=headers_at_admission)

    await run.run(2 * latency_seconds + 40)

    start = 2 * latency_seconds + 15
    assert run.requests_between(start, start + 25) >= 0.97 * 20 * 25
    assert run.refused_per_thousand <= 5


@pytest.mark.parametrize("headers_at_admission", [False, True], ids=["at answer", "at admission"])
@pytest.mark.parametrize("latency_seconds", [1.0, 20.0])
@pytest.mark.parametrize(
    ("limits", "calls_per_second"),
    [
        ({"rpm": 60, "slice_seconds": 10.0}, 1.0),
        ({"rpm": 3000, "tpm": 60_000, "slice_seconds": 2.0}, 1.0),
        ({"rpm": 3000, "tpm": 60_000, "slice_seconds": 10.0}, 1.0),
        ({"rpm": 3000, "tpm": 150_000, "slice_seconds": 1.0}, 2.5),
        ({"rpm": 3000, "tpm": 150_000, "slice_seconds": 10.0}, 2.5),
    ],
    ids=["RPM 60", "2 calls fit", "10 calls fit", "2.5 calls fit", "25 calls fit"],
)
async def test_of_a_limit_of_few_calls_a_call_under_way_is_not_taken_for_spare_budget(
    drain: Callable[..., Drain],
    headers_at_admission: bool,  # noqa: FBT001 - pytest passes by name
    latency_seconds: float,
    limits: dict[str, object],
    calls_per_second: float,
):
    run = drain(latency_seconds, limits, headers_at_admission=headers_at_admission, streams=True)

    await run.run(120)

    assert len(run.refused) <= 3
    assert len(run.admitted) >= 0.95 * calls_per_second * 120


@pytest.mark.parametrize("headers_at_admission", [False, True], ids=["at answer", "at admission"])
@pytest.mark.parametrize("share_charged", [0.5, 1.0, 1.3], ids=["overestimated", "right", "underestimated"])
async def test_a_token_limit_is_used_up_whatever_the_estimate_is_worth(
    drain: Callable[..., Drain],
    headers_at_admission: bool,  # noqa: FBT001 - pytest passes by name
    share_charged: float,
):
    def tokens(draw: random.Random) -> tuple[int, int]:
        estimate = draw.randint(500, 3000)
        return estimate, int(estimate * share_charged)

    config = {"tpm": 1_200_000, "slice_seconds": 5.0}
    run = drain(2.0, config, headers_at_admission=headers_at_admission, tokens=tokens)

    await run.run(80)

    assert run.tokens_between(30, 80) >= 0.96 * 20_000 * 50
    assert run.refused_per_thousand <= 20


@pytest.mark.parametrize("headers_at_admission", [False, True], ids=["at answer", "at admission"])
async def test_moving_limits_and_other_traffic_are_followed(
    drain: Callable[..., Drain],
    headers_at_admission: bool,  # noqa: FBT001 - pytest passes by name
):
    changes = {30.0: {"rpm": 600}, 60.0: {"rpm": 1200}, 90.0: {"foreign_share": 0.3}, 130.0: {"foreign_share": 0.0}}
    config = {"rpm": 1200, "slice_seconds": 5.0}
    run = drain(1.0, config, headers_at_admission=headers_at_admission, changes=changes)

    await run.run(160)

    for start, end, per_second in ((15, 30, 20), (40, 60, 10), (70, 90, 20), (105, 130, 14), (145, 160, 20)):
        used = run.requests_between(start, end) / ((end - start) * per_second)
        assert used >= 0.95, f"{used:.0%} between {start} s and {end} s"
    assert run.refused_per_thousand <= 15


@pytest.mark.parametrize(
    ("latency_seconds", "rpm", "slice_seconds", "used_where_refused_calls_count"),
    [
        (0.5, 1200, 1.0, 0.8),
        (3.0, 1200, 1.0, 0.8),
        (2.0, 1200, 60.0, 0.8),
        (15.0, 3000, 1.0, 0.75),
        (0.5, 30, 10.0, 0.4),
    ],
)
@pytest.mark.parametrize("charge_refused", [True, False], ids=["refused calls count", "they do not"])
async def test_a_limit_that_only_refusals_tell_is_found_and_used(  # noqa: PLR0917 - pytest passes by name
    drain: Callable[..., Drain],
    latency_seconds: float,
    rpm: int,
    slice_seconds: float,
    used_where_refused_calls_count: float,
    charge_refused: bool,  # noqa: FBT001 - pytest passes by name
):
    config = {"rpm": rpm, "slice_seconds": slice_seconds, "charge_refused": charge_refused}
    run = drain(latency_seconds, config, has_headers=False)

    await run.run(160)

    used = run.requests_between(60, 160) / (rpm / 60 * 100)
    assert used >= (used_where_refused_calls_count if charge_refused else 0.85)
    assert len([at for at in run.refused if at >= 60]) <= 20 + 0.1 * rpm / 60 * 100


async def test_a_lone_call_that_was_refused_is_no_pace(drain: Callable[..., Drain], clock: Clock):
    clock.now += 4.8  # near the end of a slot of grants: what came back later finds the count of it gone
    run = drain(0.5, {}, jobs_per_second=0.1, faults=lambda second: second < 15)

    await run.run(40)
    run.jobs_per_second = 50.0
    await run.run(60)

    assert run.requests_between(40, 100) >= 100


async def test_refusals_that_no_limit_explains_cost_seconds(drain: Callable[..., Drain]):
    run = drain(0.5, {}, jobs_per_second=20.0, faults=lambda second: 10 <= second < 14)

    await run.run(60)

    assert run.requests_between(22, 40) >= 0.9 * 20 * 18
    assert run.requests_between(0, 60) >= 0.97 * 20 * 60, "the jobs that waited are made up for"


async def test_a_provider_that_gives_nothing_is_called_ever_less(drain: Callable[..., Drain]):
    run = drain(0.5, {"rpm": 1200, "slice_seconds": 5.0}, changes={20.0: {"foreign_share": 1.0}})

    await run.run(80)

    assert len([at for at in run.refused if 20 <= at < 50]) <= 60
    assert len([at for at in run.refused if 50 <= at < 80]) <= 30


async def test_after_a_collapse_the_pace_comes_back_with_the_budget(drain: Callable[..., Drain]):
    changes = {20.0: {"foreign_share": 1.0}, 40.0: {"foreign_share": 0.0}}
    run = drain(0.5, {"rpm": 1200, "slice_seconds": 5.0}, changes=changes)

    await run.run(80)

    assert run.requests_between(55, 80) >= 0.95 * 20 * 25
