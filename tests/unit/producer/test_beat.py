"""The nightly regrade: due by the clock and the file, done by the store, once a night whatever happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from producer.beat import ENTRY, Night, NightlyEntry, NightlyScheduler, load_nightly, run_night, selected
from producer.client import Item, JobClient
from producer.regrade import REGRADE_OF, TEMPLATE_TEXT
from workers.contract.errors import InvalidInput, ServiceUnavailable
from workers.contract.registry import builtin_registry
from workers.publisher import new_celery
from workers.store.overview import BatchOverview
from workers.store.tables import batches, jobs

if TYPE_CHECKING:
    from pathlib import Path

    from workers.store import Store

BERLIN = "Europe/Berlin"


def entry(**changes: object) -> NightlyEntry:
    return NightlyEntry.model_validate(
        {"name": "term", "at": "02:30", "zone": BERLIN, "batches": ("cs*",), "model": "new"} | changes
    )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


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


def test_between_two_nights_there_is_always_one_next():
    now = utc("2026-03-27T00:00")
    for _hour in range(24 * 6):
        before, after = entry().due_before(now), entry().due_after(now)
        assert before.astimezone(UTC) <= now < after.astimezone(UTC)
        assert timedelta(hours=22) < after.astimezone(UTC) - before.astimezone(UTC) < timedelta(hours=26)
        now += timedelta(hours=1)


class Clock:
    def __init__(self, now: str) -> None:
        self.now = utc(now)

    def __call__(self) -> datetime:
        return self.now


def test_a_night_is_due_until_it_is_done_and_then_the_next_evening():
    clock = Clock("2026-11-23T01:29:00")
    night = Night(entry(), now=clock)

    assert night.is_due(clock.now).is_due is False
    assert night.is_due(clock.now).next == 60.0
    clock.now = utc("2026-11-23T01:30:00")
    assert night.is_due(clock.now).is_due is True
    clock.now = utc("2026-11-23T01:45:00")
    assert night.is_due(clock.now).is_due is True, "not done: it is asked again"
    night.mark_done(night.due())
    assert night.is_due(clock.now).is_due is False
    assert night.is_due(clock.now).next == (24 * 60 - 15) * 60
    assert night.remaining_estimate(clock.now) == timedelta(hours=23, minutes=45)


@pytest.mark.parametrize(("started", "is_due"), [("2026-11-23T05:00", True), ("2026-11-23T06:00", False)])
def test_a_missed_night_is_caught_up_for_some_hours_and_no_longer(started: str, is_due: bool):  # noqa: FBT001
    clock = Clock(started)

    assert Night(entry(catch_up_hours=4), now=clock).is_due(clock.now).is_due is is_due


def overview(name: str, **changes: object) -> BatchOverview:
    fields: dict[str, Any] = {
        "name": name, "provider": "p", "queue": "bulk", "created_at": 1000.0, "origin": {}, "total": 2,
        "succeeded": 2, "failed": 0,
    }  # fmt: skip
    return BatchOverview(**(fields | changes))


def test_only_finished_batches_of_this_provider_made_before_the_night_are_taken_and_no_regrades():
    due = datetime.fromtimestamp(10 * 86_400, UTC)
    found = selected(
        [
            overview("cs-new", created_at=9 * 86_400.0),
            overview("cs-old", created_at=86_400.0),
            overview("other"),
            overview("cs-running", succeeded=1, created_at=9 * 86_400.0),
            overview("cs-empty", total=0, succeeded=0, created_at=9 * 86_400.0),
            overview("cs-standin", provider="standin", created_at=9 * 86_400.0),
            overview("cs-regrade", origin={REGRADE_OF: "cs-old"}, created_at=9 * 86_400.0),
            overview("cs-later", created_at=11 * 86_400.0),
        ],
        entry(newer_than_days=30),
        due=due,
        provider="p",
    )

    assert [each.name for each in found] == ["cs-old", "cs-new"]
    assert selected([overview("cs-old", created_at=86_400.0)], entry(newer_than_days=3), due=due, provider="p") == []


def test_an_entry_that_is_bounded_takes_a_batch_so_often_and_no_more():
    due = datetime.fromtimestamp(10 * 86_400, UTC)
    regrades = [
        overview(f"cs-old-term-1970-01-{day:02}", origin={REGRADE_OF: "cs-old", ENTRY: "term"}) for day in (8, 9)
    ]
    others = [
        overview("cs-old-term-1970-01-07", origin={REGRADE_OF: "cs-old", ENTRY: "term"}, total=0, succeeded=0),
        overview("cs-old-by-hand", origin={REGRADE_OF: "cs-old"}),
        overview("cs-old-other-1970-01-09", origin={REGRADE_OF: "cs-old", ENTRY: "other"}),
        overview("cs-new-term-1970-01-09", origin={REGRADE_OF: "cs-new", ENTRY: "term"}),
        overview("cs-old-term-1970-01-11", origin={REGRADE_OF: "cs-old", ENTRY: "term"}),  # this night's own
    ]
    found = [overview("cs-old"), *others, *regrades]

    def taken(**changes: object) -> list[str]:
        return [each.name for each in selected(found, entry(zone="UTC", **changes), due=due, provider="p")]

    assert taken() == ["cs-old"]
    assert taken(times=3) == ["cs-old"]
    assert taken(times=2) == []


@pytest.fixture
def client(store: Store) -> JobClient:
    return JobClient(store=store, publisher=None, registry=builtin_registry(), provider="p")


DUE = utc("2026-11-23T01:30")


def graded_batch(client: JobClient, name: str, count: int = 3) -> None:
    client.enqueue(
        [Item(f"s{number}", f"Grade {number}") for number in range(count)], name=name, schema="feedback", model="old"
    )
    with client.store.transaction() as connection:
        connection.execute(update(jobs).values(state="succeeded"))
        connection.execute(update(batches).where(batches.c.name == name).values(created_at=DUE.timestamp() - 3600))


def test_twice_in_one_night_enqueues_once_and_the_next_night_again(client: JobClient, tmp_path: Path):
    graded_batch(client, "cs-1")

    first = run_night(client, entry(), due=DUE, folder=tmp_path)
    second = run_night(client, entry(), due=DUE, folder=tmp_path)
    next_night = run_night(client, entry(), due=DUE + timedelta(days=1), folder=tmp_path)

    assert (first.enqueued, second.enqueued, next_night.enqueued) == (3, 0, 3)
    assert first.batches == second.batches == ("cs-1-term-2026-11-23",)
    assert next_night.batches == ("cs-1-term-2026-11-24",)
    progress = client.batch("cs-1-term-2026-11-23").progress()
    assert (progress.queue, progress.total) == ("bulk", 3)


def test_bounded_to_once_the_next_night_leaves_it_and_the_same_night_goes_on(client: JobClient, tmp_path: Path):
    graded_batch(client, "cs-1")
    once = entry(times=1)

    nights = [run_night(client, once, due=due, folder=tmp_path) for due in (DUE, DUE, DUE + timedelta(days=1))]

    assert [night.enqueued for night in nights] == [3, 0, 0]
    assert nights[1].batches == ("cs-1-term-2026-11-23",)
    assert nights[2].batches == nights[2].refused == ()


def test_a_batch_of_several_columns_is_passed_over_in_words_that_fit_the_file(client: JobClient, tmp_path: Path):
    client.enqueue(
        [Item("s0", "Task 1: print(1)")],
        name="cs-1", schema="feedback", model="old", origin={TEMPLATE_TEXT: "Task {task}: {submission}"},
    )  # fmt: skip
    with client.store.transaction() as connection:
        connection.execute(update(jobs).values(state="succeeded"))
        connection.execute(update(batches).values(created_at=DUE.timestamp() - 3600))
    (tmp_path / "v2.md").write_text("New: {submission}")

    report = run_night(client, entry(model=None, template="v2.md"), due=DUE, folder=tmp_path)

    (sentence,) = report.refused
    assert sentence == (
        "cs-1: the old template holds {submission}, {task}, and where one ends cannot be told; "
        "regrade it by hand, with its submissions given again"
    )
    assert run_night(client, entry(), due=DUE, folder=tmp_path).refused == (), "another model needs no cut"


def test_a_night_that_was_interrupted_goes_on_where_it_stopped(
    client: JobClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("cs-1", "cs-2"):
        graded_batch(client, name)
    real = JobClient.enqueue
    calls = []

    def away_at_the_second(self: JobClient, *arguments: Any, **options: Any) -> Any:
        calls.append(options["name"])
        if len(calls) == 2:
            raise ServiceUnavailable("store", "gone")
        return real(self, *arguments, **options)

    monkeypatch.setattr(JobClient, "enqueue", away_at_the_second)
    with pytest.raises(ServiceUnavailable):
        run_night(client, entry(), due=DUE, folder=tmp_path)
    resumed = run_night(client, entry(), due=DUE, folder=tmp_path)

    assert resumed.batches == ("cs-1-term-2026-11-23", "cs-2-term-2026-11-23")
    assert resumed.enqueued == 3, "the first batch of the night was not enqueued again"


def test_a_batch_that_cannot_be_regraded_is_named_and_stops_no_other(client: JobClient, tmp_path: Path):
    for name in ("cs-1", "cs-2"):
        graded_batch(client, name)
    run_night(client, entry(batches=("cs-1",)), due=DUE, folder=tmp_path)

    report = run_night(client, entry(model="another since"), due=DUE, folder=tmp_path)

    assert report.batches == ("cs-2-term-2026-11-23",)
    assert "cs-1: job 's0' exists" in report.refused[0]


def scheduler(client: JobClient, clock: Clock, folder: Path) -> NightlyScheduler:
    made = NightlyScheduler.going_by((entry(),), client=client, folder=folder)
    made.now = clock  # type: ignore[method-assign,assignment]
    return made(new_celery("memory://"))


def test_celery_s_own_scheduler_runs_the_night_and_tries_again_when_the_store_was_away(
    client: JobClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", logger="producer.beat")
    graded_batch(client, "cs-1")
    clock = Clock("2026-11-23T01:30:00")
    ticking = scheduler(client, clock, tmp_path)
    real = JobClient.batches
    monkeypatch.setattr(
        JobClient, "batches", lambda *_, **__: (_ for _ in ()).throw(ServiceUnavailable("store", "gone"))
    )

    ticking.tick()

    assert "nightly.waiting entry=term service=store" in caplog.text
    assert len(real(client)) == 1
    monkeypatch.setattr(JobClient, "batches", real)
    clock.now += timedelta(seconds=61)
    for _ in range(3):
        ticking.tick()
    assert [each.name for each in client.batches()] == ["cs-1-term-2026-11-23", "cs-1"]
    clock.now += timedelta(hours=1)
    for _ in range(3):
        ticking.tick()
    assert len(client.batches()) == 2
    assert caplog.text.count("nightly.enqueued") == 1, "a night that is done is not gone through again"


def test_the_file_is_read_and_its_faults_are_named(tmp_path: Path):
    file = tmp_path / "nightly.toml"
    good = '[[nightly]]\nname = "term"\nat = "02:30"\nzone = "Europe/Berlin"\nbatches = ["cs*"]\nmodel = "m"\n'
    file.write_text(good)
    assert load_nightly(file)[0].zone == BERLIN
    for wrong, says in (
        (good.replace("zone", "zoen"), "Extra inputs"),
        (good.replace("Europe/Berlin", "Berlin"), "'Berlin' is no time zone"),
        (good.replace('at = "02:30"', 'at = "26:30"'), "nightly.0.at"),
        (good + "times = 0\n", "nightly.0.times"),
        (good + "times = true\n", "nightly.0.times"),
        (good + good, "two entries are named 'term'"),
        ("nightly = [", "not valid TOML"),
        ("", "nightly"),
    ):
        file.write_text(wrong)
        with pytest.raises(InvalidInput, match=says):
            load_nightly(file)
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_nightly(tmp_path / "absent.toml")
