"""When throughput is back after a fault, read from samples."""

from __future__ import annotations

import pytest

from ops.bench.chaos.sweep import recovery_of


def samples(*rates: int) -> list[tuple[float, int]]:
    """One a second, with so many outcomes in the second that follows."""
    return [(float(second), sum(rates[:second])) for second in range(len(rates) + 1)]


def test_throughput_is_back_at_the_begin_of_the_first_window_that_holds_the_pace():
    found = recovery_of(samples(0, 0, 5, 10, 10, 10), fault="f", baseline=10.0, window=2.0)

    assert (found.seconds_back, found.after) == (3.0, 10.0)
    assert str(found) == "f: 10.0 -> 10.0 a second, ratio 1.00, back in 3.0 s"


def test_throughput_that_stays_below_the_pace_is_not_back():
    found = recovery_of(samples(0, 9, 9, 9), fault="f", baseline=10.0, window=2.0)

    assert found.seconds_back is None
    assert found.ratio == pytest.approx(0.9)
    assert "not back" in str(found)
