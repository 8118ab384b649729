"""When a night is due: zones, clocks that change, nights that were missed."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest

from producer.regrading.beat import Schedule
from tests.support.nights import BERLIN, entry, utc


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-23T12:00", "2026-11-23T01:30"),  # winter: 02:30 is 01:30 UTC
        ("2026-11-23T01:29", "2026-11-22T01:30"),
        ("2026-11-23T01:30", "2026-11-23T01:30"),
        ("2026-07-01T12:00", "2026-07-01T00:30"),  # summer
        ("2026-03-29T12:00", "2026-03-29T01:30"),  # the night without that hour: an hour later by the clock
        ("2026-10-25T12:00", "2026-10-25T00:30"),  # the night that has it twice: the first
    ],
)
def test_the_last_due_moment_follows_the_zone_through_summer_time(now: str, due: str):
    assert entry().due_before(utc(now)).astimezone(UTC) == utc(due)


@pytest.mark.parametrize("at", ["00:00", "00:30", "02:00", "02:30", "03:00", "23:59"])
@pytest.mark.parametrize("zone", [BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "UTC"])
@pytest.mark.parametrize("month", ["2026-03", "2026-04", "2026-10", "2026-11"])
def test_each_day_is_run_once_also_where_clocks_change(at: str, zone: str, month: str):
    """The clock is looked at every ten minutes for a month, and each night is finished as soon as it is due."""
    began = utc(f"{month}-01T12:00")
    schedule = Schedule(entry(at=at, zone=zone, catch_up_hours=0), began_at=began)
    nights = []
    for step in range(27 * 24 * 6):
        now = began + timedelta(minutes=10 * step)
        night = schedule.due(now)
        if night is not None:
            nights.append(night.date())
            assert timedelta(0) <= now - night.astimezone(UTC) < timedelta(minutes=10)
            schedule.finished(night)

    days = [nights[0] + timedelta(days=number) for number in range(len(nights))]
    assert nights == days
    assert len(nights) in {26, 27}


def schedule(began: str, **changes: object) -> Schedule:
    return Schedule(entry(**changes), began_at=utc(began))


def test_a_night_is_due_until_it_is_finished_and_then_the_next_evening():
    nightly = schedule("2026-11-23T01:29:00")

    assert nightly.due(utc("2026-11-23T01:29:59")) is None
    night = nightly.due(utc("2026-11-23T01:30:00"))
    assert night is not None
    assert nightly.due(utc("2026-11-23T01:45:00")) == night, "not finished: it is still due"
    nightly.finished(night)
    assert nightly.due(utc("2026-11-23T01:45:00")) is None
    assert nightly.due(utc("2026-11-24T01:29:59")) is None
    assert nightly.due(utc("2026-11-24T01:30:00")) is not None


def test_a_night_that_could_not_be_run_is_due_again_a_minute_later_even_if_the_clock_is_set_back():
    nightly = schedule("2026-11-23T01:29:00")
    nightly.attempted(utc("2026-11-23T02:00:00"))

    assert nightly.due(utc("2026-11-23T02:00:59")) is None
    assert nightly.due(utc("2026-11-23T02:01:00")) is not None
    assert nightly.due(utc("2026-11-23T01:50:00")) is not None


@pytest.mark.parametrize(("started", "is_due"), [("2026-11-23T05:00", True), ("2026-11-23T06:00", False)])
def test_a_missed_night_is_caught_up_for_some_hours_and_no_longer(started: str, is_due: bool):  # noqa: FBT001
    assert (schedule(started, catch_up_hours=4).due(utc(started)) is not None) is is_due


@pytest.mark.parametrize(
    ("woken", "is_due"), [("2026-11-23T01:31", True), ("2026-11-23T05:00", True), ("2026-11-23T09:00", False)]
)
def test_a_night_slept_through_is_caught_up_for_some_hours_and_no_longer(
    woken: str,
    is_due: bool,  # noqa: FBT001
    caplog: pytest.LogCaptureFixture,
):
    """The laptop was closed before the night, and its clock jumps when it is opened."""
    nightly = schedule("2026-11-22T20:00", catch_up_hours=4)
    assert nightly.due(utc("2026-11-22T20:00")) is None
    for _ in range(3):
        assert (nightly.due(utc(woken)) is not None) is is_due

    assert caplog.text.count("nightly.missed entry=term night=2026-11-23") == (not is_due)
    assert nightly.due(utc("2026-11-24T01:30")) is not None, "the next night is not missed with it"


def test_a_night_that_waits_for_the_store_is_given_up_after_its_hours(caplog: pytest.LogCaptureFixture):
    nightly = schedule("2026-11-23T01:30", catch_up_hours=2)
    for asked in ("01:30", "02:30", "03:30"):
        now = utc(f"2026-11-23T{asked}")
        assert nightly.due(now) is not None
        nightly.attempted(now)

    assert nightly.due(utc("2026-11-23T03:36")) is None
    assert "nightly.missed" in caplog.text
