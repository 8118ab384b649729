"""A job that may kill its worker takes no other with it."""

from __future__ import annotations

import asyncio

import pytest

from workers.grading.running_alone import Entrance, StillBusyError


async def inside(entrance: Entrance, entered: list[str], name: str, leave: asyncio.Event, *, alone: bool) -> None:
    async with entrance.entered(alone=alone):
        entered.append(name)
        await leave.wait()


async def let_the_others_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_it_waits_for_the_others_and_nobody_is_let_in_meanwhile():
    entrance, entered = Entrance(patience_seconds=20), []
    leave = {name: asyncio.Event() for name in ("one", "two", "alone", "late")}
    async with asyncio.TaskGroup() as tasks:
        for name in ("one", "two", "alone", "late"):
            tasks.create_task(inside(entrance, entered, name, leave[name], alone=name == "alone"))
            await let_the_others_run()
        assert entered == ["one", "two"]

        leave["one"].set()
        await let_the_others_run()
        assert entered == ["one", "two"]
        leave["two"].set()
        await let_the_others_run()
        assert entered == ["one", "two", "alone"]
        leave["alone"].set()
        await let_the_others_run()
        assert entered == ["one", "two", "alone", "late"]
        leave["late"].set()


async def test_two_such_jobs_run_one_after_the_other():
    entrance, entered, leave = Entrance(patience_seconds=20), [], asyncio.Event()
    first = asyncio.create_task(inside(entrance, entered, "first", leave, alone=True))
    second = asyncio.create_task(inside(entrance, entered, "second", leave, alone=True))
    await let_the_others_run()

    assert entered == ["first"]
    leave.set()
    await asyncio.gather(first, second)
    assert entered == ["first", "second"]


async def test_where_the_others_do_not_end_it_gives_up_and_they_go_on():
    entrance, entered, leave = Entrance(patience_seconds=0.05), [], asyncio.Event()
    other = asyncio.create_task(inside(entrance, entered, "other", leave, alone=False))
    await let_the_others_run()

    with pytest.raises(StillBusyError):
        await inside(entrance, entered, "alone", leave, alone=True)

    leave.set()
    await inside(entrance, entered, "late", leave, alone=False)
    await other
    assert entered == ["other", "late"]


async def test_one_that_is_cancelled_while_it_waits_lets_the_others_in():
    entrance, entered, leave = Entrance(patience_seconds=20), [], asyncio.Event()
    other = asyncio.create_task(inside(entrance, entered, "other", leave, alone=False))
    await let_the_others_run()
    alone = asyncio.create_task(inside(entrance, entered, "alone", leave, alone=True))
    await let_the_others_run()
    alone.cancel()
    leave.set()

    await inside(entrance, entered, "late", leave, alone=False)

    await asyncio.gather(other, alone, return_exceptions=True)
    assert entered == ["other", "late"]
