"""The first seconds of a model whose limits nobody knows, on a clock that needs no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.budget.asking import ask, give_back, hear, requests
from workers.budget.records import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.budget.conftest import Clock
    from tests.unit.budget.draining import Drain
    from workers.budget.records import BudgetKey
    from workers.budget.shared import SharedBudget

LATENCY_SECONDS = 20.0


async def test_where_headers_come_at_once_unknown_limits_cost_no_answers_time(drain: Callable[..., Drain]):
    config = {"rpm": 3000, "slice_seconds": 1.0}
    cold = drain(LATENCY_SECONDS, config, streams=True, most_jobs=300)
    known = drain(LATENCY_SECONDS, config, limits=Limits(requests=3000), most_jobs=300, model="known")

    await cold.run(30)
    await known.run(30)

    assert len(cold.admitted) == len(known.admitted) == 300
    assert cold.admitted[-1][0] <= 1.1 * known.admitted[-1][0]
    assert len(cold.refused) <= 5


@pytest.mark.parametrize("headers_at_admission", [False, True], ids=["at answer", "at admission"])
async def test_of_a_full_first_bucket_bulk_uses_nearly_all_that_is_available(
    drain: Callable[..., Drain],
    headers_at_admission: bool,  # noqa: FBT001 - pytest passes by name
):
    run = drain(
        1.0,
        {"rpm": 3000, "slice_seconds": 6.0},
        streams=True,
        headers_at_admission=headers_at_admission,
        most_jobs=1000,
        held_back_share=0.1,
    )

    await run.run(20)

    taken_seconds = run.admitted[-1][0] - run.admitted[0][0]
    assert len(run.admitted) == 1000
    assert 0.965 * taken_seconds <= (1000 - 300) / 50
    assert not run.refused


@pytest.mark.parametrize("streams", [True, False], ids=["headers at once", "headers with the answer"])
@pytest.mark.parametrize("slice_seconds", [2.0, 60.0])
@pytest.mark.parametrize("charge_refused", [True, False], ids=["refused calls count", "they do not"])
@pytest.mark.parametrize(
    "config", [{"rpm": 60}, {"rpm": 3000, "tpm": 60_000}, {"tpm": 20_000}], ids=["RPM 60", "TPM bound", "TPM alone"]
)
async def test_a_small_limit_that_nobody_knows_is_hardly_met(
    drain: Callable[..., Drain],
    streams: bool,  # noqa: FBT001 - as above
    slice_seconds: float,
    charge_refused: bool,  # noqa: FBT001 - as above
    config: dict[str, object],
):
    run = drain(
        LATENCY_SECONDS,
        {**config, "slice_seconds": slice_seconds, "charge_refused": charge_refused},
        streams=streams,
        most_jobs=300,
    )

    await run.run(60)

    assert len(run.refused) <= 3
    assert run.admitted


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "not streamed"])
async def test_a_server_that_names_no_limits_gets_a_few_calls_before_its_first_answer(
    drain: Callable[..., Drain],
    streams: bool,  # noqa: FBT001 - pytest passes by name
):
    run = drain(LATENCY_SECONDS, {}, has_headers=False, streams=streams, most_jobs=300)

    await run.run(LATENCY_SECONDS + 20)

    assert 4 <= run.requests_between(0, 4) <= 8, "one that works on a few at once answers so many within a deadline"
    assert run.requests_between(0, LATENCY_SECONDS) <= 12
    assert len(run.admitted) == 300


async def test_a_careful_call_says_so_and_no_other_does(shared: SharedBudget, key: BudgetKey):
    first = (await ask(shared, key, 1)).grants[0]
    await hear(shared, first, requests=requests(600, 599, 0.1))

    later = (await ask(shared, key, 1)).grants[0]

    assert first.is_careful
    assert not later.is_careful


async def test_headers_of_a_call_in_flight_let_the_others_go(shared: SharedBudget, key: BudgetKey):
    first = (await ask(shared, key, 1)).grants[0]
    await hear(shared, first, requests=requests(600, 599, 0.1))

    assert len((await ask(shared, key, 50)).grants) == 50


async def test_careful_calls_come_in_ever_shorter_gaps_up_to_a_few(shared: SharedBudget, key: BudgetKey, clock: Clock):
    gaps = []
    for _ in range(9):
        answer = await ask(shared, key, 5)
        assert len(answer.grants) == 1
        gaps.append(answer.wait_seconds)
        clock.now += answer.wait_seconds + 0.001

    assert gaps[:7] == sorted(gaps[:7], reverse=True)
    assert gaps[7:] == [5.0, 5.0]


async def test_a_careful_call_that_was_never_sent_is_followed_at_once(shared: SharedBudget, key: BudgetKey):
    await give_back(shared, (await ask(shared, key, 5)).grants[0])

    assert len((await ask(shared, key, 5)).grants) == 1
