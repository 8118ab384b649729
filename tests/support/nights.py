"""Nightly entries, moments and a clock that tests set."""

from __future__ import annotations

from datetime import UTC, datetime

from producer.inputs.nightly_file import NightlyEntry

BERLIN = "Europe/Berlin"


def entry(**changes: object) -> NightlyEntry:
    return NightlyEntry.model_validate(
        {"name": "term", "at": "02:30", "zone": BERLIN, "batches": ("cs*",), "model": "new"} | changes
    )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Clock:
    def __init__(self, now: str) -> None:
        self.now = utc(now)

    def __call__(self) -> datetime:
        return self.now
