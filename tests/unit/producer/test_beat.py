"""The nightly regrade: due by the clock and the file, done by the store, once a night whatever happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from producer.client import Item, JobClient
from producer.inputs.nightly_file import load_nightly
from producer.local.interrupts import Interrupts
from producer.regrading.beat import AliveFile, Beat
from producer.regrading.nightly import run_night, selected
from tests.support.nights import BERLIN, Clock, entry, utc
from workers.contract.errors import InvalidInput, ServiceUnavailable
from workers.contract.origin import BatchOrigin
from workers.contract.registry import builtin_registry
from workers.store.overviews import BatchOverview
from workers.store.tables import batches, jobs

if TYPE_CHECKING:
    from pathlib import Path

    from workers.store import Store


def overview(name: str, **changes: object) -> BatchOverview:
    fields: dict[str, Any] = {
        "name": name, "provider": "p", "queue": "bulk", "created_at": 1000.0, "origin": BatchOrigin(), "total": 2,
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
            overview("cs-regrade", origin=BatchOrigin(regrade_of="cs-old"), created_at=9 * 86_400.0),
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
        overview(f"cs-old-term-1970-01-{day:02}", origin=BatchOrigin(regrade_of="cs-old", nightly="term"))
        for day in (8, 9)
    ]
    others = [
        overview(
            "cs-old-term-1970-01-07", origin=BatchOrigin(regrade_of="cs-old", nightly="term"), total=0, succeeded=0
        ),
        overview("cs-old-by-hand", origin=BatchOrigin(regrade_of="cs-old")),
        overview("cs-old-other-1970-01-09", origin=BatchOrigin(regrade_of="cs-old", nightly="other")),
        overview("cs-new-term-1970-01-09", origin=BatchOrigin(regrade_of="cs-new", nightly="term")),
        overview("cs-old-term-1970-01-11", origin=BatchOrigin(regrade_of="cs-old", nightly="term")),  # this night's own
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
        name="cs-1", schema="feedback", model="old", origin=BatchOrigin(template_text="Task {task}: {submission}"),
    )  # fmt: skip
    with client.store.transaction() as connection:
        connection.execute(update(jobs).values(state="succeeded"))
        connection.execute(update(batches).values(created_at=DUE.timestamp() - 3600))
    (tmp_path / "v2.md").write_text("New: {submission}")

    report = run_night(client, entry(model=None, template="v2.md"), due=DUE, folder=tmp_path)

    (sentence,) = report.refused
    assert sentence == (
        "cs-1: the old template holds {submission}, {task}, and it is unknown where one ends and the next begins; "
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


def test_beat_runs_the_night_once_and_tries_again_when_the_store_was_away(
    client: JobClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", logger="producer.regrading.beat")
    graded_batch(client, "cs-1")
    clock = Clock("2026-11-23T01:30:00")
    beat = Beat(client, (entry(),), folder=tmp_path, now=clock)
    real = JobClient.batches
    monkeypatch.setattr(
        JobClient, "batches", lambda *_, **__: (_ for _ in ()).throw(ServiceUnavailable("store", "gone"))
    )

    for _ in range(3):
        beat.look()

    assert caplog.text.count("nightly.waiting entry=term service=store") == 1, "not at every look"
    assert len(real(client)) == 1
    monkeypatch.setattr(JobClient, "batches", real)
    clock.now += timedelta(seconds=61)
    for _ in range(3):
        beat.look()
    assert [each.name for each in client.batches()] == ["cs-1-term-2026-11-23", "cs-1"]
    clock.now += timedelta(hours=1)
    for _ in range(3):
        beat.look()
    assert len(client.batches()) == 2
    assert caplog.text.count("nightly.enqueued") == 1, "a finished night is not run again"


def test_an_entry_that_fails_does_not_stop_the_others_and_its_text_is_not_logged(
    client: JobClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", logger="producer.regrading.beat")
    graded_batch(client, "cs-1")
    entries = (entry(name="first", model=None, template="absent.md"), entry(name="second"))

    Beat(client, entries, folder=tmp_path, now=Clock("2026-11-23T01:30:00")).look()

    assert "nightly.refused entry=first" in caplog.text
    assert "nightly.enqueued entry=second" in caplog.text


def test_beat_ends_with_the_first_interrupt_after_the_entry_that_is_being_run(
    client: JobClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    graded_batch(client, "cs-1")
    interrupts = Interrupts()
    alive = AliveFile(tmp_path / "data" / "beat.alive")
    seen = []

    def interrupted_night(*_arguments: Any, **_options: Any) -> None:
        seen.append(alive.is_recent())
        interrupts.add()
        raise InvalidInput("nothing to do")

    monkeypatch.setattr("producer.regrading.beat.run_night", interrupted_night)
    entries = (entry(name="first"), entry(name="second"))
    Beat(client, entries, folder=tmp_path, now=Clock("2026-11-23T01:30:00")).run(interrupts, alive_file=alive.path)

    assert seen == [True], "the second entry was not begun"
    assert not alive.is_recent()
    assert not alive.path.exists()


def test_the_file_is_read_and_its_faults_are_named(tmp_path: Path):
    file = tmp_path / "nightly.toml"
    good = '[[nightly]]\nname = "term"\nat = "02:30"\nzone = "Europe/Berlin"\nbatches = ["cs*"]\nmodel = "m"\n'
    file.write_text(good)
    assert load_nightly(file)[0].zone == BERLIN
    for wrong, says in (
        (good.replace("zone", "zoen"), "nightly.0.zoen: unknown field; remove it or correct its name"),
        (good.replace('["cs*"]', '"cs*"'), "nightly.0.batches: must be a list; write it in square brackets"),
        (good.replace('["cs*"]', "[]"), "nightly.0.batches: needs at least 1 entry"),
        (good.replace('name = "term"', ""), "nightly.0.name: is missing"),
        (good.replace("Europe/Berlin", "Berlin"), "'Berlin' is not a time zone"),
        (good.replace('at = "02:30"', 'at = "26:30"'), "nightly.0.at: '26:30' is not a time of day"),
        (good.replace('at = "02:30"', "at = 02:30:00"), "nightly.0.at: write the time in quotes"),
        (good.replace('at = "02:30"', "at = 2026-11-23T02:30:00Z"), "nightly.0.at: write the time in quotes"),
        (good.replace('at = "02:30"', "at = 9000"), "nightly.0.at: write the time in quotes"),
        (good.replace('at = "02:30"', 'at = "9000"'), "nightly.0.at: '9000' is not a time of day"),
        (good.replace('at = "02:30"', 'at = "07:00+02:00"'), "is not a time of day; .* the zone as zone"),
        (good.replace('at = "02:30"', 'at = "07:00Z"'), "is not a time of day"),
        (good.replace('at = "02:30"', 'at = "07:00:00.5"'), "is not a time of day"),
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
