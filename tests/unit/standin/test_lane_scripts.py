"""Scripts of the slow lanes: how long they take, and what goes wrong."""

from __future__ import annotations

import math
from random import Random

import pytest

from ops.standin.config import Config
from ops.standin.lanes.delays import delay_of, parse_delay, read_delays
from ops.standin.lanes.script import LaneFault, LaneScript, parse_lane_fault
from ops.standin.state import State


def drawn(text: str, count: int = 2_000) -> list[float]:
    random = Random(1)  # noqa: S311 - not secrets
    return sorted(parse_delay(text).draw(random) for _ in range(count))


def test_a_time_is_fixed_a_range_a_distribution_or_never():
    assert set(drawn("420")) == {420}
    assert set(drawn("never")) == {math.inf}
    even = drawn("60-600")
    assert 60 <= even[0] < 100
    assert 560 < even[-1] <= 600
    spread = drawn("420~3600")
    assert spread[1_000] == pytest.approx(420, rel=0.1)
    assert spread[1_800] == pytest.approx(3_600, rel=0.2)


@pytest.mark.parametrize("text", ["", "a", "5-", "9-5", "0~5", "-1", "5~", "nan", True, None])
def test_what_is_no_time_is_refused(text: object):
    with pytest.raises(ValueError, match="time"):
        parse_delay(text)


def test_times_come_one_after_another_and_the_last_repeats():
    script = read_delays([5, "6-7", "never"])
    assert [str(delay_of(script, number)) for number in range(4)] == ["5", "6-7", "never", "never"]


def test_a_counted_fault_happens_so_often_and_a_rate_now_and_then():
    rules = (parse_lane_fault("upload_lost@2"), parse_lane_fault("line_error=0.3"))
    script = LaneScript(rules, random=Random(1))  # noqa: S311 - as above
    assert [script.happens(LaneFault.UPLOAD_LOST) for _ in range(3)] == [True, True, False]
    assert 250 < sum(script.happens(LaneFault.LINE_ERROR) for _ in range(1_000)) < 350
    assert not script.happens(LaneFault.CREATE_LOST)


@pytest.mark.parametrize("text", ["upload_lost", "upload_lost@0", "line_error=1.5", "never_heard_of@1", "line_error=x"])
def test_what_is_no_fault_of_a_lane_is_refused(text: str):
    with pytest.raises(ValueError, match="lane's fault"):
        parse_lane_fault(text)


def test_the_lanes_settings_are_read_back_as_they_are_shown():
    changed = {
        "lanes": "batch",
        "batch_seconds": ["5", "420~3600"],
        "window_2h_seconds": "never",
        "batch_window_seconds": 60,
        "batch_queue_tokens": 1_000,
        "cancel_seconds": 3,
        "lane_faults": ["upload_lost@2", "line_error=0.5"],
    }
    config = Config().changed(changed)
    assert Config().changed(config.as_json()) == config
    assert config.lanes == ("batch",)
    assert Config().changed({"lanes": "none"}).lanes == ()
    with pytest.raises(ValueError, match="lanes are"):
        Config().changed({"lanes": "flex"})


def test_time_passes_forward_and_counts_from_1970():
    state = State(Config(), clock=lambda: 1_800_000_000.0)
    assert state.clock() + state.epoch == 1_800_000_000.0
    state.pass_time(60)
    assert state.clock() + state.epoch == 1_800_000_060.0
    with pytest.raises(ValueError, match="time passes"):
        state.pass_time(-1)
