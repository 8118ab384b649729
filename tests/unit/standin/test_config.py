"""Settings are read once, in one place, with an error that names the field."""

from typing import Any

import pytest

from ops.standin.config import Config


def test_changes_leave_the_other_settings_alone():
    config = Config(rpm=60, seed=3).changed({"tpm": 1000, "latency_ms": "200-500", "faults": ["hang@1"]})
    assert (config.rpm, config.seed, config.tpm, config.latency_ms) == (60, 3, 1000, (200.0, 500.0))
    assert [str(rule) for rule in config.faults] == ["hang@1"]


def test_a_configuration_reads_back_its_own_json():
    config = Config(rpm=5, scatter=0.5, any_model=True).changed({"faults": ["html=0.5"], "latency_ms": [1, 2]})
    assert Config().changed(config.as_json()) == config


@pytest.mark.parametrize("none", [None, 0])
def test_a_limit_of_none_or_zero_is_no_limit(none: int | None):
    assert Config(rpm=60).changed({"rpm": none}).rpm is None


@pytest.mark.parametrize(
    "changes",
    [
        {"rpm": -1},
        {"rpm": 1.5},
        {"rpm": True},
        {"tpm": "60"},
        {"latency_ms": "5-1"},
        {"latency_ms": "1-2-3"},
        {"latency_ms": "fast"},
        {"latency_ms": []},
        {"latency_ms": "inf"},
        {"foreign_share": 1.1},
        {"scatter": "much"},
        {"slice_seconds": 0},
        {"cost_rule": "min"},
        {"retry_after": 1},
        {"faults": "hang=1"},
        {"faults": ["hangs=1"]},
        {"rpn": 60},
    ],
)
def test_an_impossible_setting_is_named(changes: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Config().changed(changes)
