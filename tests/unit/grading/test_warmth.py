"""One call warms the provider's cache; the others wait for its answer, and never for long."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.store.steps import enqueue, new_job, publish
from tests.unit.grading.test_grader import SCHEMA, Playing, grader, playing  # noqa: F401 - two are fixtures
from workers.budget.warm_parts import PartState
from workers.contract.model_profile import profile_of
from workers.contract.registry import builtin_registry
from workers.grading import warmth as module
from workers.grading.records import Finished, Provider, Run
from workers.grading.warmth import Warmth
from workers.store.claims import ClaimedJob
from workers.store.enqueue import NewJob, save_context
from workers.store.instructions import INSTRUCTIONS_KEY

if TYPE_CHECKING:
    from workers.budget.warm_parts import Part
    from workers.grading.grader import Grader
    from workers.store import Store


RUBRIC = ("m", "rubric")


async def let_the_others_run() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


class Calls:
    """Requests in flight, by name."""

    def __init__(self, warmth: Warmth) -> None:
        self.warmth = warmth
        self.sent: list[str] = []
        self.left_seconds: float | None = None

    def start(self, name: str, answered: asyncio.Event, *, key: Part | None = RUBRIC, fails: bool = False):
        async def call() -> None:
            async with self.warmth.entered(key, self.left_seconds):
                self.sent.append(name)
                await answered.wait()
                if not fails:
                    self.warmth.answered(key)

        return asyncio.create_task(call())


async def test_one_goes_first_and_the_others_follow_its_answer():
    calls, first, rest = Calls(Warmth()), asyncio.Event(), asyncio.Event()
    tasks = [calls.start("a", first), *(calls.start(name, rest) for name in "bcd")]
    await let_the_others_run()
    assert calls.sent == ["a"]

    first.set()
    await let_the_others_run()

    assert calls.sent == ["a", "b", "c", "d"]
    rest.set()
    await asyncio.gather(*tasks)


async def test_when_the_first_fails_one_other_goes_next():
    calls, first, second = Calls(Warmth()), asyncio.Event(), asyncio.Event()
    tasks = [calls.start("a", first, fails=True), *(calls.start(name, second) for name in "bc")]
    await let_the_others_run()

    first.set()
    await let_the_others_run()

    assert calls.sent == ["a", "b"]
    second.set()
    await asyncio.gather(*tasks)
    assert calls.sent == ["a", "b", "c"]


async def test_other_parts_and_what_nothing_caches_wait_for_nobody():
    calls, never = Calls(Warmth()), asyncio.Event()
    tasks = [calls.start("a", never), calls.start("b", never, key=("m", "another")), calls.start("c", never, key=None)]
    await let_the_others_run()

    assert calls.sent == ["a", "b", "c"]
    for task in tasks:
        task.cancel()


@pytest.mark.parametrize("is_stopping", [True, False])
async def test_nobody_waits_for_long_nor_for_a_worker_that_stops(monkeypatch: pytest.MonkeyPatch, *, is_stopping: bool):
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 60.0 if is_stopping else 0.01)
    calls, never = Calls(Warmth()), asyncio.Event()
    tasks = [calls.start("a", never), calls.start("b", never)]
    await let_the_others_run()
    if is_stopping:
        calls.warmth.stop_waiting()

    async with asyncio.timeout(5):
        while len(calls.sent) < 2:  # noqa: ASYNC110 - a timer of the loop decides, which signals nothing
            await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()


async def test_a_job_waits_for_no_more_than_a_part_of_the_time_it_has_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 600.0)
    calls, never = Calls(Warmth()), asyncio.Event()
    tasks = [calls.start("first", never)]
    await let_the_others_run()
    calls.left_seconds = 0.04
    tasks.append(calls.start("in a hurry", never))
    await let_the_others_run()
    calls.left_seconds = 600.0
    tasks.append(calls.start("with time", never))

    await sent(calls, 2)

    assert calls.sent == ["first", "in a hurry"]
    for task in tasks:
        task.cancel()


class Processes:
    """What two processes tell each other, without Redis between them."""

    def __init__(self) -> None:
        self.state = PartState.OURS
        self.asked = 0

    async def ask(self, _part: Part, *, within_seconds: float) -> PartState:
        assert 0 < within_seconds <= module.LONGEST_WAIT_SECONDS
        self.asked += 1
        taken, self.state = self.state, PartState.BEING_WRITTEN if self.state is PartState.OURS else self.state
        return taken

    async def answered(self, _part: Part) -> None:
        self.state = PartState.WARM

    async def give_up(self, _part: Part) -> None:
        self.state = PartState.OURS


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> tuple[Processes, Calls, Calls]:
    monkeypatch.setattr(module, "ASK_AGAIN_SECONDS", 0.001)
    between = Processes()
    return between, Calls(Warmth(between)), Calls(Warmth(between))


async def sent(calls: Calls, count: int) -> None:
    async with asyncio.timeout(5):
        while len(calls.sent) < count:  # noqa: ASYNC110 - a timer of the loop decides, which signals nothing
            await asyncio.sleep(0.001)


async def test_the_first_call_of_all_processes_goes_alone(two_processes: tuple[Processes, Calls, Calls]):
    between, one, other = two_processes
    first, rest = asyncio.Event(), asyncio.Event()
    tasks = [one.start("a", first), one.start("b", rest), *(other.start(name, rest) for name in "cd")]
    await let_the_others_run()
    await asyncio.sleep(0.02)
    assert (one.sent, other.sent) == (["a"], [])

    first.set()
    await sent(one, 2)
    await sent(other, 2)

    asked = between.asked
    tasks += [one.start("e", rest), other.start("f", rest)]
    await let_the_others_run()
    assert between.asked == asked, "what is known to be warm is not asked again"
    rest.set()
    await asyncio.gather(*tasks)


async def test_when_the_first_call_of_all_fails_another_process_goes_next(
    two_processes: tuple[Processes, Calls, Calls],
):
    _between, one, other = two_processes
    first, rest = asyncio.Event(), asyncio.Event()
    tasks = [one.start("a", first, fails=True), other.start("b", rest)]
    await let_the_others_run()

    first.set()
    await sent(other, 1)

    rest.set()
    await asyncio.gather(*tasks)


async def test_nobody_waits_for_long_for_another_process(
    two_processes: tuple[Processes, Calls, Calls], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.02)
    between, one, _other = two_processes
    between.state = PartState.BEING_WRITTEN
    never = asyncio.Event()

    tasks = [one.start(name, never) for name in "abc"]
    await sent(one, 3)

    assert between.state is PartState.BEING_WRITTEN, "what another holds is not given up"
    for task in tasks:
        task.cancel()


async def test_a_cancelled_first_call_lets_the_next_one_go():
    calls, never = Calls(Warmth()), asyncio.Event()
    first, second = calls.start("a", never), calls.start("b", never)
    await let_the_others_run()

    first.cancel()
    await let_the_others_run()

    assert calls.sent == ["a", "b"]
    second.cancel()


async def test_the_jobs_of_a_batch_wait_for_its_first_answer(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
):
    playing.profile = profile_of("gpt-6.1-terra")
    save_context(store, context_hash="h", content={INSTRUCTIONS_KEY: "rubric " * 1_000})
    entry = builtin_registry().resolve(SCHEMA, None)
    specs = [replace(new_job(name).spec, schema=SCHEMA, instructions="rubric " * 1_000) for name in "abc"]
    enqueue(store, [NewJob(spec=each, schema_fingerprint=entry.fingerprint, instructions_hash="h") for each in specs])
    first = asyncio.Event()
    playing.gates = [first]

    running = [asyncio.create_task(grader.run(job_id)) for job_id in publish(store)]
    async with asyncio.timeout(10):
        while "complete" not in playing.told or len(grader.held) < 3:  # noqa: ASYNC110 - neither has an event
            await asyncio.sleep(0.001)
    await let_the_others_run()
    reserved = playing.told.count("reserve")
    first.set()

    assert await asyncio.gather(*running) == [Finished(None)] * 3
    assert reserved == 1


def run_of(model: str, instructions: str | None) -> tuple[Run, Provider]:
    job = object.__new__(ClaimedJob)
    for name, value in {"batch_id": 1, "instructions": instructions, "model": model}.items():
        object.__setattr__(job, name, value)
    run = Run(job, model, 0, 0, on_fallback=False, task=None)
    return run, replace(_PROVIDER, profile_of=profile_of)


_PROVIDER = Provider(complete=None, profile_of=profile_of, call_timeout_seconds=1.0, health=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "instructions", "is_cached"),
    [
        ("gpt-6.1-terra", "x" * 4_096, True),
        ("gpt-6.1-terra", "x" * 2_000, False),
        ("gpt-6.1-terra", None, False),
        ("llama3.2", "x" * 4_096, False),
    ],
)
def test_calls_wait_only_where_the_provider_caches(model: str, instructions: str | None, *, is_cached: bool):
    run, provider = run_of(model, instructions)

    assert (run.cached_part(provider) is not None) == is_cached
