"""A moment by the clock, as a person writes it: `2026-12-01T08:00`, in this machine's zone unless another is given.

A clock that is put forward skips times, and one that is put back has some twice. Neither is guessed.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from producer.inputs.columns import duration_seconds
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from datetime import tzinfo

_WRITTEN = re.compile(
    r"(?P<clock>\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2})?)\s*(?P<offset>[Zz]|[+-]\d{2}:?\d{2})?"
    r"\s*(?:\[(?P<bracketed>[^\]]+)\]|(?P<zone>[A-Za-z][\w+/-]*))?",
    re.ASCII,
)
_FORM = "expects a date and a time such as 2026-12-01T08:00, 2026-12-01T08:00+01:00 or '2026-12-01T08:00 Europe/Berlin'"


def moment_of(text: str, *, local: tzinfo | None = None) -> datetime:
    """The aware moment that this text names; `local` is the zone of one without [default: this machine's].

    Raises `InvalidInput`, with what to write instead, for a time that its zone skips or has twice.
    """
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(_FORM)
    try:
        clock = datetime.fromisoformat(match["clock"].upper())
        offset = (
            None if match["offset"] is None else datetime.fromisoformat(f"{match['clock']}{match['offset']}".upper())
        )
    except ValueError:
        raise InvalidInput(f"{text.strip()[:60]!r} is not in the calendar; {_FORM}") from None
    name = match["bracketed"] or match["zone"]
    zone = local if name is None else _zone(name)
    if offset is None:
        return _in_zone(clock, zone, name or "this machine's time zone")
    if zone is not None and name is not None and offset.astimezone(zone).utcoffset() != offset.utcoffset():
        raise InvalidInput(f"{name} is not at {match['offset']} then; leave one of the two out")
    return offset


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidInput(f"{name[:60]!r} is not a time zone; use a name such as Europe/Berlin") from None


def _in_zone(clock: datetime, zone: tzinfo | None, name: str) -> datetime:
    """Each reading of a time is there and back again through UTC: what is skipped comes back as another."""
    first, second = (_in_utc(clock.replace(fold=fold), zone) for fold in (0, 1))
    if _clock_of(first, zone) != clock:  # the first reading is at the offset before the change, so after the gap
        raise InvalidInput(
            f"{_written(clock)} does not exist in {name}: the clock is put forward there; "
            f"write {_written(first.astimezone(zone))} or another time"
        )
    if first != second:
        raise InvalidInput(
            f"{_written(clock)} comes twice in {name}, when the clock is put back; "
            f"write {_written(first.astimezone(zone))} or {_written(second.astimezone(zone))}"
        )
    return first.astimezone(zone)


def _in_utc(clock: datetime, zone: tzinfo | None) -> datetime:
    try:
        return datetime.fromtimestamp(clock.replace(tzinfo=zone).timestamp(), UTC)
    except (OverflowError, ValueError, OSError):
        raise InvalidInput("expects a time between 1970 and 9999") from None


def _clock_of(moment: datetime, zone: tzinfo | None) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds" if moment.second else "minutes")


def check_moment(by: datetime, *, now: float | None = None) -> None:
    """Raise `InvalidInput` for a moment without a zone, or one that is over."""
    if by.utcoffset() is None:
        raise InvalidInput("`by` needs a time zone: datetime(..., tzinfo=ZoneInfo('Europe/Berlin'))")
    if by.timestamp() <= (time.time() if now is None else now):
        raise InvalidInput(f"--by: {by:%Y-%m-%d %H:%M %Z} is over; give a later moment")


def span_or_moment(text: str) -> dict[str, object]:
    """The field of `JobParameters` that `2h` or `2026-12-01T08:00` sets. Raises `InvalidInput` for what is neither."""
    if "-" not in text:
        return {"deadline_seconds": duration_seconds(text)}
    moment = moment_of(text)
    check_moment(moment)
    return {"deadline_at": moment.timestamp()}
