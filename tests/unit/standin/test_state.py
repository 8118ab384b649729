"""What is counted, when it is forgotten, and what a change leaves alone. The clock stands still until it is moved."""

import pytest

from ops.standin.config import Config
from ops.standin.faults import Fault
from ops.standin.state import State


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def admit(state: State, cost_tokens: int) -> None:
    state.tally.call_admitted("account", model="gpt-4o", cost_tokens=cost_tokens, now=state.clock())


def test_admitted_charge_is_counted_by_second_since_the_start(clock: Clock):
    state = State(Config(), clock=clock)
    for second, cost_tokens in ((100.0, 5), (100.9, 7), (103.2, 11)):
        clock.seconds = second
        admit(state, cost_tokens)
    assert state.stats()["accounts"] == [
        {
            "account": "account",
            "model": "gpt-4o",
            "requests": 3,
            "tokens": 23,
            "first_admitted_seconds": 0.0,
            "last_admitted_seconds": pytest.approx(3.2),
            "by_second": {"0": {"requests": 2, "tokens": 12}, "3": {"requests": 1, "tokens": 11}},
        },
    ]


def test_answers_and_refusals_have_histograms_of_their_own(clock: Clock):
    state = State(Config(), clock=clock)
    record = state.tally.prompt_called("key")
    state.tally.call_answered(record, now=101.5)
    state.tally.call_refused("rate_limit_exceeded", now=102.5)
    state.tally.call_refused("401", now=102.6)
    stats = state.stats(prompts=True)
    assert (stats["answered_by_second"], stats["refused_by_second"]) == ({"1": 1}, {"2": 2})
    assert (stats["refused"], stats["refused_total"]) == ({"rate_limit_exceeded": 1, "401": 1}, 2)
    assert stats["prompts"] == {"key": {"calls": 1, "admitted": 0, "answered": 1}}


def test_a_reset_forgets_counts_but_not_the_calls_in_flight(clock: Clock):
    state = State(Config(), clock=clock)
    for _ in range(3):
        state.tally.call_began()
    state.tally.call_ended()
    clock.seconds = 160.0
    state.reset()
    stats = state.stats()
    assert (stats["received"], stats["in_flight"], stats["most_in_flight"], stats["uptime_seconds"]) == (0, 2, 2, 0.0)


def test_a_change_keeps_the_script_running_unless_it_names_faults(clock: Clock):
    state = State(Config(), clock=clock)
    state.configure({"faults": ["hang@2"]})
    assert state.script.next_fault("", call_number=1) is Fault.HANG
    state.configure({"rpm": 60})
    assert state.script.next_fault("", call_number=1) is Fault.HANG
    assert state.script.next_fault("", call_number=1) is None
    state.configure({"faults": ["hang@1"]})
    assert state.script.next_fault("", call_number=1) is Fault.HANG


def test_a_change_that_fails_changes_nothing(clock: Clock):
    state = State(Config(rpm=60), clock=clock)
    with pytest.raises(ValueError, match="tpm"):
        state.configure({"rpm": 10, "tpm": -1})
    assert state.config == Config(rpm=60)


def test_latency_lies_between_its_ends_and_repeats_with_its_seed(clock: Clock):
    drawn = [State(Config(latency_ms=(200, 500), seed=4), clock=clock) for _ in range(2)]
    first, second = ([state.next_latency_seconds() for _ in range(50)] for state in drawn)
    assert first == second
    assert len(set(first)) == 50
    assert 0.2 <= min(first) <= max(first) <= 0.5
