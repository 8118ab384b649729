"""The file of `gradequeue beat`: which batches are regraded when, and with what change.

[[nightly]]
name = "term"                   # part of the new batches' names
at = "02:30"
zone = "Europe/Berlin"
batches = ["cs101-*"]           # names, with * and ?
newer_than_days = 120           # optional
account = "course-b"            # optional: who pays; batches of any account at the same server are regraded then
times = 1                       # optional: at most so many regrades of one batch by this entry
model = "..."                   # one of model, template, rubric, kit, effort and verbosity at least
template = "prompts/v2.md"      # paths from the file's own folder
rubric = "rubrics.json#style"   # or catalogue
kit = "kits/week3"              # or a course kit, which says all of these
effort = "high"                 # and verbosity, where the model takes them
price = "lowest"                # optional: jobs may wait for a cheaper lane
by = "07:30"                    # optional: start no job after this time of the same or the next day
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from workers.contract.errors import InvalidInput
from workers.contract.lane_choice import PriceWish  # noqa: TC001 - pydantic reads it
from workers.contract.model_profile import EFFORTS, VERBOSITIES  # noqa: TC001 - pydantic reads them
from workers.contract.validation_words import first_fault

if TYPE_CHECKING:
    from pathlib import Path

_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?")
"""Without an offset: the zone has one for each day, and knows summer time."""


class NightlyEntry(BaseModel):
    """One entry of the file. Unknown keys are refused: a misspelt one would change what is regraded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
    at: time
    """`"02:30"` in quotes, by the entry's zone."""
    zone: str = "UTC"
    batches: Annotated[tuple[str, ...], Field(min_length=1)]
    newer_than_days: Annotated[int, Field(ge=1)] | None = None
    times: Annotated[int, Field(ge=1, strict=True)] | None = None
    """At most so many regrades of one batch by this entry, over all nights; None regrades it every night."""
    account: str | None = None
    """Who pays for the regrades, a name of the file GRADEQUEUE_ACCOUNTS; the kit's where it says one."""
    model: str | None = None
    template: str | None = None
    rubric: str | None = None
    catalogue: str | None = None
    kit: str | None = None
    """A course kit: its template, rubric, model, effort, verbosity, assignment, solution and notes; those above win."""
    effort: Literal[EFFORTS] | None = None  # type: ignore[valid-type] # one list for every surface
    verbosity: Literal[VERBOSITIES] | None = None  # type: ignore[valid-type]
    price: PriceWish | None = None
    by: time | None = None
    """Of the first day that has it after `at`."""
    catch_up_hours: Annotated[float, Field(ge=0, le=23)] = 4.0

    @field_validator("at", "by", mode="before")
    @classmethod
    def _is_a_quoted_time(cls, at: object, field: ValidationInfo) -> object:
        """TOML has times of its own, and pydantic reads numbers as seconds; only one spelling is accepted."""
        if not isinstance(at, str):
            raise ValueError(  # noqa: TRY004 - pydantic reports a ValueError as an error in the file
                f'write the time in quotes, such as {field.field_name} = "02:30"'
            )
        if not _TIME.fullmatch(at):
            raise ValueError(
                f'{at[:40]!r} is not a time of day; write "02:30" or "02:30:15", and the zone as zone = "..."'
            )
        return at

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{zone!r} is not a time zone; use a name such as Europe/Berlin") from None
        return zone

    def due_before(self, now: datetime) -> datetime:
        """The last moment, in the entry's zone, at which it was due: one for each day there.

        On a day that skips this time it is an hour later by the clock; on a day that has it twice, the first.
        """
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        for day in (today, today - timedelta(days=1)):
            due = datetime.combine(day, self.at.replace(tzinfo=None), zone)
            if due.astimezone(UTC) <= now:
                return due
        raise AssertionError("yesterday's moment has passed")

    def ends(self, due: datetime) -> datetime | None:
        """After which moment no job of the night that was due then may start; None without `by`."""
        if self.by is None:
            return None
        zone = ZoneInfo(self.zone)
        same_day = datetime.combine(due.astimezone(zone).date(), self.by.replace(tzinfo=None), zone)
        return same_day if same_day > due else same_day + timedelta(days=1)


class NightlyFile(BaseModel):
    """The whole TOML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nightly: tuple[NightlyEntry, ...]
    """May be empty: `nightly = []`."""

    @field_validator("nightly")
    @classmethod
    def _has_each_name_once(cls, entries: tuple[NightlyEntry, ...]) -> tuple[NightlyEntry, ...]:
        names = [entry.name for entry in entries]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two entries are named {twice!r}; rename one")
        return entries


def load_nightly(path: Path) -> tuple[NightlyEntry, ...]:
    """The file's entries. Raises `InvalidInput`, which names the entry and field that are wrong."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return NightlyFile.model_validate(document).nightly
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise InvalidInput("is not UTF-8 text; save it in UTF-8", where=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"is not valid TOML: {error}", where=str(path)) from None
    except ValidationError as error:
        place, sentence = first_fault(error)
        raise InvalidInput(sentence, where=f"{path} {place}") from None
