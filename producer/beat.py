"""Nightly regrading: a Celery beat whose entries run in its own process. `gradequeue beat` starts it.

What is due follows from the clock and the TOML file, what was done from the store, so beat keeps no file of its own.
A night has a key (entry, date it was due, batch) that names the new batch: firing twice enqueues once, and a night that
was interrupted goes on where it stopped. A night missed by more than `catch_up_hours` is left out, for nobody expects
a bill at noon. Only finished batches older than the night are regraded, never a regrade.

The night's date is in the key: every night pays for every selected batch again, until `newer_than_days` or `times` ends
it. The file is read when beat starts; the templates and rubrics it names are read anew each night.

    [[nightly]]
    name = "term"                   # part of the new batches' names
    at = "02:30"
    zone = "Europe/Berlin"
    batches = ["cs101-*"]           # names, with * and ?
    newer_than_days = 120           # optional
    times = 1                       # optional: at most so many regrades of one batch by this entry
    model = "..."                   # one of model, template and rubric at least
    template = "prompts/v2.md"      # paths from the file's own folder
    rubric = "rubrics.json#style"   # or catalogue
"""

from __future__ import annotations

import logging
import threading
import tomllib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

from celery.beat import ScheduleEntry, Scheduler, Service
from celery.schedules import BaseSchedule, schedstate
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from producer.client import JobClient
from producer.regrade import REGRADE_OF, Change, SubmissionUnknown, linked_name, regrade
from producer.scheme import scheme_from_options
from producer.templates import Template
from workers.contract.errors import GradequeueError, InvalidInput, ServiceUnavailable
from workers.contract.job import QueueName
from workers.publisher import new_celery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from workers.settings import Settings
    from workers.store.overview import BatchOverview

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""A store that was away when the night began is asked again so often."""
LONGEST_SLEEP_SECONDS = 5.0
"""Beat looks at the clock so often; a stop is heard as soon."""
SECONDS_PER_DAY = 86_400.0
ENTRY = "nightly"
"""Key in a batch's origin: the name of the entry that made it."""


class NightlyEntry(BaseModel):
    """One entry of the file. Unknown keys are refused: a misspelt one would change what is regraded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
    at: time
    zone: str = "UTC"
    batches: Annotated[tuple[str, ...], Field(min_length=1)]
    newer_than_days: Annotated[int, Field(ge=1)] | None = None
    times: Annotated[int, Field(ge=1, strict=True)] | None = None
    """At most so many regrades of one batch by this entry, over all nights; None regrades it every night."""
    model: str | None = None
    template: str | None = None
    rubric: str | None = None
    catalogue: str | None = None
    catch_up_hours: Annotated[float, Field(ge=0, le=23)] = 4.0

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{zone!r} is no time zone; it should look like Europe/Berlin") from None
        return zone

    def due_before(self, now: datetime) -> datetime:
        """The last moment, in the entry's zone, at which it was due; on a day without that hour, an hour later."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        for day in (today, today - timedelta(days=1)):
            due = datetime.combine(day, self.at.replace(tzinfo=None), zone)
            if due.astimezone(UTC) <= now:
                return due
        raise AssertionError("yesterday's moment has passed")

    def due_after(self, now: datetime) -> datetime:
        """The next moment at which it is due."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        coming = (datetime.combine(today + timedelta(days=n), self.at.replace(tzinfo=None), zone) for n in range(3))
        return next(due for due in coming if due.astimezone(UTC) > now)


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
    """The file's entries. `InvalidInput` names the entry and field that are wrong."""
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
        fault = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(step) for step in fault["loc"])
        raise InvalidInput(fault["msg"].removeprefix("Value error, "), where=f"{path} {place}") from None


def change_of(entry: NightlyEntry, folder: Path) -> Change:
    """What the entry changes; its files are read now, so that the night takes them as they are then."""
    return Change(
        model=entry.model,
        template=Template.load(folder / entry.template) if entry.template else None,
        scheme=scheme_from_options(_beside(folder, entry.rubric), _beside(folder, entry.catalogue)),
    )


def _beside(folder: Path, option: str | None) -> str | None:
    return str(folder / option) if option else None


@dataclass(frozen=True, slots=True)
class NightReport:
    """What one firing did, batch by batch."""

    enqueued: int
    """New jobs; 0 when the night was done before."""
    batches: tuple[str, ...]
    """Names of the night's new batches, whether made now or before."""
    refused: tuple[str, ...]
    """Why a selected batch was passed over, one sentence each."""


def run_night(client: JobClient, entry: NightlyEntry, *, due: datetime, folder: Path) -> NightReport:
    """Regrade every batch the entry selects. Idempotent per (entry, day of `due`, batch), and resumable.

    A batch that cannot be regraded is named and stops no other. Raises `ServiceUnavailable`: try again later.
    """
    change = change_of(entry, folder)
    enqueued, names, refused = 0, [], []
    for overview in selected(client.batches(at_most=None), entry, due=due, provider=client.provider):
        name = _night_name(overview.name, entry, due)
        try:
            report = regrade(client, overview.name, change, name=name, queue=QueueName.BULK, note={ENTRY: entry.name})
        except SubmissionUnknown as problem:
            refused.append(f"{overview.name}: {problem.message}; regrade it by hand, with its submissions given again")
            continue
        except InvalidInput as problem:
            refused.append(f"{overview.name}: {problem}")
            continue
        enqueued += report.new
        names.append(name)
    return NightReport(enqueued, tuple(names), tuple(refused))


def night_of(due: datetime) -> date:
    """The day in the entry's own zone: the key by which firing twice is one."""
    return due.date()


def selected(
    overviews: Sequence[BatchOverview], entry: NightlyEntry, *, due: datetime, provider: str
) -> list[BatchOverview]:
    """The entry's batches, oldest first: finished, this provider's, made before the night, and no regrades.

    With `times`, those it has regraded less often; a regrade of this same night does not count, so it can be resumed.
    """
    times = _times_before(overviews, entry, due)
    latest = due.timestamp()
    earliest = latest - entry.newer_than_days * SECONDS_PER_DAY if entry.newer_than_days else 0.0
    return [
        overview
        for overview in reversed(overviews)
        if any(fnmatchcase(overview.name, pattern) for pattern in entry.batches)
        and overview.is_finished
        and overview.provider == provider
        and REGRADE_OF not in overview.origin
        and earliest <= overview.created_at < latest
        and (entry.times is None or times[overview.name] < entry.times)
    ]


def _times_before(overviews: Sequence[BatchOverview], entry: NightlyEntry, due: datetime) -> Counter[str]:
    """Batch -> its regrades by this entry on other nights; one that was never opened has cost nothing."""
    regraded = (
        (str(each.origin.get(REGRADE_OF)), each)
        for each in overviews
        if each.origin.get(ENTRY) == entry.name and each.total > 0
    )
    return Counter(old for old, each in regraded if each.name != _night_name(old, entry, due))


def _night_name(batch: str, entry: NightlyEntry, due: datetime) -> str:
    return linked_name(batch, f"{entry.name}-{night_of(due):%Y-%m-%d}")


class Night(BaseSchedule):  # type: ignore[misc]  # Celery has no types
    """When an entry is due, by the clock alone: Celery's crontab knows one zone for all and no catching up."""

    def __init__(self, entry: NightlyEntry, *, now: Callable[[], datetime]) -> None:
        super().__init__(nowfun=now)
        self._entry = entry
        self._now = now
        self._done = now() - timedelta(hours=entry.catch_up_hours)

    def due(self) -> datetime:
        """The moment of the night that is on."""
        return self._entry.due_before(self._now())

    def mark_done(self, due: datetime) -> None:
        """This night is through."""
        self._done = due

    def is_due(self, last_run_at: datetime) -> Any:  # noqa: ARG002 - Celery's memory is replaced by ours
        """Celery's question: now, and how many seconds until it should ask again."""
        now = self._now()
        if self._entry.due_before(now) > self._done:
            return schedstate(is_due=True, next=RETRY_SECONDS)
        return schedstate(is_due=False, next=(self._entry.due_after(now).astimezone(UTC) - now).total_seconds())

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Time until the next night."""
        return timedelta(seconds=self.is_due(last_run_at).next)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Night) and self._entry == other._entry

    def __hash__(self) -> int:
        return hash(self._entry)


class NightlyScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Runs the nightly entries in beat's own process; it sends no message, so it needs no broker."""

    entries: tuple[NightlyEntry, ...] = ()
    folder: Path = Path()
    client: JobClient
    now: Callable[[], datetime] = staticmethod(lambda: datetime.now(UTC))
    max_interval = LONGEST_SLEEP_SECONDS

    @classmethod
    def going_by(cls, entries: tuple[NightlyEntry, ...], *, client: JobClient, folder: Path) -> type[NightlyScheduler]:
        """A scheduler class with what it goes by; Celery makes the instance."""
        return type("_NightlyScheduler", (cls,), {"entries": entries, "client": client, "folder": folder})

    def setup_schedule(self) -> None:
        """Take the entries in."""
        self.schedule = {
            entry.name: ScheduleEntry(
                name=entry.name, task="nightly", schedule=Night(entry, now=self.now), app=self.app, args=(entry,)
            )
            for entry in self.entries
        }

    @property
    def producer(self) -> None:
        """Celery asks for one before each entry; without one, no connection to the broker is waited for."""
        return

    def apply_entry(self, entry: Any, producer: Any = None) -> None:  # noqa: ARG002 - part of Celery's signature
        """Run the entry's night; leaves it due when a service is away."""
        night: Night = entry.schedule
        (nightly,) = entry.args
        due = night.due()
        try:
            report = run_night(self.client, nightly, due=due, folder=self.folder)
        except ServiceUnavailable as error:
            logger.warning("nightly.waiting entry=%s service=%s reason=%s", nightly.name, error.service, error)
            return
        except GradequeueError as error:
            logger.error("nightly.refused entry=%s reason=%s", nightly.name, error)  # noqa: TRY400 - the reason says all
        except Exception as error:  # noqa: BLE001 - the task boundary; its text might quote a prompt
            logger.error("nightly.failed entry=%s error=%s", nightly.name, type(error).__name__)  # noqa: TRY400
        else:
            _log_report(nightly, due, report)
        night.mark_done(due)


def _log_report(entry: NightlyEntry, due: datetime, report: NightReport) -> None:
    logger.info(
        "nightly.enqueued entry=%s night=%s batches=%d jobs=%d passed_over=%d",
        entry.name, night_of(due), len(report.batches), report.enqueued, len(report.refused),
    )  # fmt: skip
    for sentence in report.refused:
        logger.warning("nightly.passed_over entry=%s reason=%s", entry.name, sentence)


class Beat:
    """A running beat; `stop` may be called from a signal handler."""

    def __init__(self, settings: Settings, path: Path, *, alive_file: Path | None = None) -> None:
        entries = load_nightly(path)
        for entry in entries:
            change_of(entry, path.parent)  # what cannot be read is said now, not at half past two
        self._client = JobClient.connect(settings)
        scheduler = NightlyScheduler.going_by(entries, client=self._client, folder=path.parent)
        # without a broker it still works: rows are committed, and the workers' feeder publishes them
        app = new_celery(settings.redis_url or "memory://")
        self._service = Service(app, scheduler_cls=scheduler, remote_control=False)
        self._alive_file = alive_file
        self.entries = entries

    def run(self) -> None:
        """Go on until stopped."""
        with _told_alive(self._alive_file, self._service):
            try:
                self._service.start()
            finally:
                self._client.close()

    def stop(self) -> None:
        """End after the entry that is under way, within seconds when none is."""
        self._service._is_shutdown.set()  # noqa: SLF001 - Service.stop waits, which a signal handler must not


@contextmanager
def _told_alive(file: Path | None, service: Any) -> Iterator[None]:
    """Touch a file while the scheduler ticks, for a health check that needs no broker."""
    stopping = threading.Event()

    def touch() -> None:
        told = None
        while file is not None and not stopping.is_set():
            if service._last_tick != told:  # noqa: SLF001 - Celery's own measure of a beat that hangs
                told = service._last_tick  # noqa: SLF001
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
            stopping.wait(LONGEST_SLEEP_SECONDS)

    thread = threading.Thread(target=touch, name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        if file is not None:
            file.unlink(missing_ok=True)
