"""A moment by the clock: where it is, and what is answered to one that is not there once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from producer.inputs.moments import check_moment, moment_of, span_or_moment
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("written", "in_utc"),
    [
        ("2026-12-01T08:00", "2026-12-01T07:00:00"),
        ("2026-07-01 08:00:30", "2026-07-01T06:00:30"),
        ("2026-12-01t08:00z", "2026-12-01T08:00:00"),
        ("2026-12-01T08:00-0500", "2026-12-01T13:00:00"),
        ("2026-12-01T08:00 America/New_York", "2026-12-01T13:00:00"),
        ("2026-12-01T08:00[Asia/Kolkata]", "2026-12-01T02:30:00"),
        ("2026-12-01T08:00+01:00[Europe/Berlin]", "2026-12-01T07:00:00"),
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30:00"),
        ("2026-10-25T03:00", "2026-10-25T02:00:00"),
    ],
)
def test_a_moment_is_in_the_local_zone_unless_it_names_another(written: str, in_utc: str):
    assert moment_of(written, local=BERLIN) == datetime.fromisoformat(in_utc).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2026-03-29T02:30", r"does not exist .* put forward .* write 2026-03-29T03:30\+02:00"),
        ("2026-10-25T02:30", r"comes twice .* write 2026-10-25T02:30\+02:00 or 2026-10-25T02:30\+01:00"),
        ("2026-03-08T02:30 America/New_York", r"in America/New_York: .* write 2026-03-08T03:30-04:00"),
        ("2026-12-01T08:00+02:00[Europe/Berlin]", r"Europe/Berlin is not at \+02:00 then"),
        ("2026-12-01T08:00 Mars/Olympus", "'Mars/Olympus' is not a time zone; use a name such as Europe/Berlin"),
        ("2026-13-01T08:00", "'2026-13-01T08:00' is not in the calendar"),
        ("2026-12-01T08:00+25:00", "is not in the calendar"),
        ("0001-01-01T00:00", "a time between 1970 and 9999"),
        ("08:00", "a date and a time such as 2026-12-01T08:00"),
        ("2h", "a date and a time such as"),
    ],
)
def test_a_moment_that_is_not_there_once_is_answered_with_what_to_write(written: str, said: str):
    with pytest.raises(InvalidInput, match=said):
        moment_of(written, local=BERLIN)


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("new_york")
def test_without_a_zone_it_is_this_machines_clock_with_its_gaps_too():
    assert moment_of("2026-12-01T08:00") == datetime(2026, 12, 1, 13, tzinfo=UTC)
    with pytest.raises(InvalidInput, match=r"this machine's time zone.* write 2026-03-08T03:30-04:00"):
        moment_of("2026-03-08T02:30")
    with pytest.raises(InvalidInput, match=r"write 2026-11-01T01:30-04:00 or 2026-11-01T01:30-05:00"):
        moment_of("2026-11-01T01:30")


def test_a_moment_needs_a_zone_and_lies_ahead():
    with pytest.raises(InvalidInput, match="needs a time zone"):
        check_moment(datetime(2999, 1, 1))  # noqa: DTZ001 - that is the point
    with pytest.raises(InvalidInput, match="is over; give a later moment"):
        check_moment(datetime.now(UTC) - timedelta(seconds=1))
    check_moment(datetime.now(UTC) + timedelta(minutes=1))


def test_one_field_takes_a_span_or_a_moment():
    assert span_or_moment("2h") == {"deadline_seconds": 7200.0}
    assert span_or_moment("2999-12-01T08:00Z") == {"deadline_at": datetime(2999, 12, 1, 8, tzinfo=UTC).timestamp()}
    with pytest.raises(InvalidInput, match="is over"):
        span_or_moment("2020-12-01T08:00")
