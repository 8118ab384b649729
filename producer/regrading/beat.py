"""`gradequeue beat`: runs the entries of the nightly file when they are due, in this process, until stopped.

What is due follows from the clock and the file, what was done from the store, so beat keeps no file of its own. A night
missed by more than `catch_up_hours` is skipped: a bill at noon would be a surprise. The nightly file is read when beat
starts. See docs/decisions/0011 and 0063.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Self

from producer.client import JobClient
from producer.inputs.nightly_file import load_nightly
from producer.regrading.nightly import change_of, night_of, run_night, with_account
from workers.contract.errors import GradequeueError, ServiceUnavailable
from workers.contract.schema_files.lookup import InstalledSchemas

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from producer.inputs.nightly_file import NightlyEntry
    from producer.local.interrupts import Interrupts
    from producer.regrading.nightly import NightReport
    from workers.settings import Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks at the clock."""
RETRY = timedelta(minutes=1)
"""Between two attempts at a night for which the store was away."""
PUNCTUAL = timedelta(minutes=5)
"""Entries run one after the other: an entry without catch-up is still on time this long after its moment."""
SILENT_SECONDS = 30.0
"""A running beat touches its alive file at every look; one that is older belongs to no running beat."""


class Schedule:
    """When one entry runs, by the clock alone. Knows which nights this process has finished."""

    def __init__(self, entry: NightlyEntry, *, began_at: datetime) -> None:
        self.entry = entry
        self._began_at = began_at
        self._finished: datetime | None = None
        self._missed: datetime | None = None
        self._untold: datetime | None = None
        self._attempted_at: datetime | None = None

    def due(self, now: datetime) -> datetime | None:
        """The night to run now, named by its moment in the entry's zone; None while there is nothing to do."""
        night = self.entry.due_before(now)
        if self._finished is not None and night <= self._finished:
            return None
        if not self._is_in_time(night, now) or self._waits_to_retry(now):
            return None
        return night

    def newly_missed(self) -> datetime | None:
        """The night that was found missed since this was last asked."""
        night, self._untold = self._untold, None
        return night

    def attempted(self, now: datetime) -> None:
        """The night could not be run; it is due again after `RETRY`."""
        self._attempted_at = now

    def finished(self, night: datetime) -> None:
        """This night is not run again."""
        self._finished = night
        self._attempted_at = None

    def _is_in_time(self, night: datetime, now: datetime) -> bool:
        """Asked at each look: beat may have been started late, the machine suspended, or the store away for hours."""
        latest = night.astimezone(UTC) + timedelta(hours=self.entry.catch_up_hours) + PUNCTUAL
        if now <= latest:
            return True
        if night != self._missed and latest >= self._began_at:  # nights before this beat began are not its own
            logger.warning(
                "nightly.missed entry=%s night=%s catch_up_hours=%g",
                self.entry.name, night_of(night), self.entry.catch_up_hours,
            )  # fmt: skip
            self._untold = night
        self._missed = night
        return False

    def _waits_to_retry(self, now: datetime) -> bool:
        """A clock that was set back must not keep the night waiting, so only time that has passed counts."""
        return self._attempted_at is not None and timedelta(0) <= now - self._attempted_at < RETRY


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Beat:
    """Runs the entries one after the other; `run` returns when the user asks to stop."""

    def __init__(
        self,
        client: JobClient,
        entries: Sequence[NightlyEntry],
        *,
        folder: Path,
        now: Callable[[], datetime] = _utc_now,
        clients: Mapping[str, JobClient] | None = None,
    ) -> None:
        """`folder` is the nightly file's own: its templates and rubrics are named from there.

        `clients` by account: of those that entries name.
        """
        self._client = client
        self._clients = clients or {}
        self._folder = folder
        self._now = now
        self._schedules = [Schedule(entry, began_at=now()) for entry in entries]
        self.entries = tuple(entries)

    @classmethod
    def open(cls, settings: Settings, path: Path) -> Self:
        """A beat for this nightly file. Raises `InvalidInput` for it and every file it names, and `UnknownAccount`."""
        entries = [with_account(entry, path.parent) for entry in load_nightly(path)]
        for entry in entries:
            change_of(entry, path.parent)  # refused now, not at half past two
        of_account = {each.account: settings.of_account(each.account) for each in entries if each.account is not None}
        connect = partial(JobClient.connect, schemas=InstalledSchemas())
        clients = {name: connect(each) for name, each in of_account.items()}
        return cls(connect(settings), entries, folder=path.parent, clients=clients)

    def run(self, interrupts: Interrupts, *, alive_file: Path) -> None:
        """Run what is due until the first interrupt; an entry that is being run is finished first."""
        alive = AliveFile(alive_file)
        try:
            while not interrupts.count:
                alive.touch()
                self.look(interrupts)
                interrupts.wait(LOOK_SECONDS)
        finally:
            alive.remove()

    def look(self, interrupts: Interrupts | None = None) -> None:
        """Run every entry that is due now."""
        for schedule in self._schedules:
            if interrupts is not None and interrupts.count:
                return
            night = schedule.due(self._now())
            if (missed := schedule.newly_missed()) is not None:
                self._tell(schedule.entry, missed, "missed")
            if night is not None:
                self._run(schedule, night)

    def close(self) -> None:
        """Release every connection."""
        for client in (self._client, *self._clients.values()):
            client.close()

    def _client_of(self, entry: NightlyEntry) -> JobClient:
        return self._client if entry.account is None else self._clients[entry.account]

    def _run(self, schedule: Schedule, night: datetime) -> None:
        """The night's regrades; it stays due when a service is away."""
        entry = schedule.entry
        try:
            report = run_night(self._client_of(entry), entry, due=night, folder=self._folder)
        except ServiceUnavailable as error:
            logger.warning("nightly.waiting entry=%s service=%s reason=%s", entry.name, error.service, error)
            schedule.attempted(self._now())
            return
        except GradequeueError as error:
            logger.error("nightly.refused entry=%s reason=%s", entry.name, error)  # noqa: TRY400 - the reason says all
            self._tell(entry, night, "refused")
        except Exception as error:  # noqa: BLE001 - the task boundary; its text might quote a prompt
            logger.error("nightly.failed entry=%s error=%s", entry.name, type(error).__name__)  # noqa: TRY400
            self._tell(entry, night, "failed")
        else:
            _log_report(entry, night, report)
            if report.refused:
                self._tell(entry, night, "passed_over")
        schedule.finished(night)

    def _tell(self, entry: NightlyEntry, night: datetime, reason: str) -> None:
        """The log has it, should the store be away."""
        try:
            self._client.note_night(entry=entry.name, night=str(night_of(night)), reason=reason)
        except ServiceUnavailable as error:
            logger.warning("nightly.not_told entry=%s service=%s reason=%s", entry.name, error.service, error)


def _log_report(entry: NightlyEntry, night: datetime, report: NightReport) -> None:
    logger.info(
        "nightly.enqueued entry=%s night=%s batches=%d jobs=%d passed_over=%d",
        entry.name, night_of(night), len(report.batches), report.enqueued, len(report.refused),
    )  # fmt: skip
    for sentence in report.refused:
        logger.warning("nightly.passed_over entry=%s reason=%s", entry.name, sentence)


@dataclass(frozen=True, slots=True)
class AliveFile:
    """Shows a health check that a beat is running: it needs neither a broker nor the store."""

    path: Path

    def touch(self) -> None:
        """Say that beat is looking at the clock; a full disk must not end it."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch()

    def remove(self) -> None:
        """Say that it has ended."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def is_recent(self) -> bool:
        """True while a beat of this data folder is running."""
        try:
            return time.time() - self.path.stat().st_mtime < SILENT_SECONDS
        except OSError:
            return False
