"""The page as a visitor meets it, in Streamlit's test harness: a real store, no broker, no worker."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, update
from streamlit.testing.v1 import AppTest

from producer import Item, JobClient
from producer.dashboard import batch_list, batch_page, services
from producer.dashboard.outage import says_when_away
from producer.dashboard.tables import csv_file, jsonl_file
from workers.contract.errors import ServiceUnavailable
from workers.contract.registry import builtin_registry
from workers.store import reading
from workers.store.retention import purge
from workers.store.tables import batches, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

EVIL = "**bold** <b id=evil>"
AWAY = "A service is away (store)."
FINE: dict[str, object] = {"summary": "fine", "score": 90, "suggestions": []}


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def the_page_s_client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    """A client without a broker, which the page takes for its own."""
    client = JobClient(store=store, publisher=None, registry=builtin_registry(), provider="p")
    monkeypatch.chdir(tmp_path)  # no .env of anybody's
    monkeypatch.setenv("GRADEQUEUE_MODEL", "m")
    monkeypatch.setattr(JobClient, "connect", lambda _settings: client)
    services.client.clear()
    services.settings.clear()
    yield client
    services.client.clear()
    services.settings.clear()


def enqueue(client: JobClient, *ids: str, name: str = "b") -> None:
    client.enqueue([Item(item, f"Grade {item}") for item in ids], name=name, schema="feedback", model="m")


def end(client: JobClient, item_id: str, result: object = FINE, *, kind: str | None = None) -> None:
    """A worker's part: the job ends, long ago."""
    with client.store.transaction() as connection:
        row = connection.execute(select(jobs).where(jobs.c.item_id == item_id)).one()
        connection.execute(
            insert(outcomes).values(
                job_id=row.id, round=row.round, batch_id=row.batch_id, claim=row.claim, finished_at=0.0,
                result=None if kind else json.dumps(result), failure_kind=kind, is_standin=False,
            )
        )  # fmt: skip
        state = "failed" if kind else "succeeded"
        connection.execute(update(jobs).where(jobs.c.id == row.id).values(state=state, finished_at=0.0))


def page_of_batch() -> None:
    from producer.dashboard import batch_page

    batch_page.show("b", back=lambda: None)


def page_of_batches() -> None:
    from producer.dashboard import batch_list

    batch_list.show()


def page_of_dialog() -> None:
    from producer.dashboard import batch_page, services

    batch_page._confirm_cancel(services.client().batch("b"))


def opened(page: Any) -> AppTest:
    return AppTest.from_function(page, default_timeout=30).run()


def texts(app: AppTest) -> list[str]:
    return [element.value for element in app.text]


def read_as_markup(app: AppTest) -> str:
    """All that Streamlit gives to its Markdown or HTML renderer."""
    kinds = ("markdown", "caption", "html", "header", "subheader", "title", "info", "warning", "error", "badge")
    elements = [element for kind in kinds for element in app.get(kind)]
    return "\n".join(str(getattr(element, "value", element)) for element in elements)


@pytest.mark.parametrize(
    "result",
    [
        {"summary": EVIL},
        {"summary": f"{EVIL} in a text that is longer than any label"},
        {"suggestions": [EVIL, "more"]},
        {"errors": [{"quote": EVIL, "why": f"{EVIL} in a text that is longer than any label"}]},
        {"criteria": {"style": {"comment": EVIL}}},
        EVIL,
        [EVIL],
    ],
)
def test_what_a_model_wrote_is_drawn_as_text_wherever_it_stands(client: JobClient, result: object):
    enqueue(client, "anna")
    end(client, "anna", result)

    app = opened(page_of_batch)

    assert not app.exception
    assert any(EVIL in text for text in texts(app))
    assert "evil" not in read_as_markup(app)


def test_what_a_student_or_an_instructor_wrote_is_escaped_where_it_must_stand_in_markdown(client: JobClient):
    name = "b *x* <b id=evil>"
    enqueue(client, EVIL, name=name)

    app = opened(page_of_batches)

    labels = "\n".join([read_as_markup(app), *(button.label for button in app.button)])
    assert "evil" in labels
    assert not re.search(r"(?<!\\)[*<]", labels)


def test_a_store_that_goes_away_is_a_sentence_in_every_part_of_a_page(
    client: JobClient, monkeypatch: pytest.MonkeyPatch
):
    enqueue(client, "anna")

    def away(*_arguments: object, **_options: object) -> None:
        raise ServiceUnavailable("store", "the store does not answer")

    monkeypatch.setattr(batch_page, "ended_rows", away)
    monkeypatch.setattr(batch_list, "batches_on_page", away)
    for page in (page_of_batch, page_of_batches):
        app = opened(page)
        assert not app.exception
        assert [AWAY in error.value for error in app.error] == [True]
        assert "the store does not answer" in texts(app)


def test_what_shows_progress_goes_on_when_the_store_is_back(client: JobClient, monkeypatch: pytest.MonkeyPatch):
    enqueue(client, "anna")
    answers = iter([True, False])  # the page is drawn, then its first look at the progress meets no store
    real = type(client.batch("b")).progress

    def progress(batch: Any) -> Any:
        if next(answers, True):
            return real(batch)
        raise ServiceUnavailable("store", "gone")

    monkeypatch.setattr(type(client.batch("b")), "progress", progress)
    app = opened(page_of_batch)
    assert not app.exception
    assert [AWAY in error.value for error in app.error] == [True]

    app.run()
    assert not app.error
    assert "Waiting" in [metric.label for metric in app.metric]


def test_a_dialog_says_so_too(client: JobClient, monkeypatch: pytest.MonkeyPatch):
    enqueue(client, "anna")

    def away(_batch: object) -> int:
        raise ServiceUnavailable("store", "gone")

    monkeypatch.setattr(type(client.batch("b")), "cancel", away)
    app = opened(page_of_dialog)
    app.button(key="really cancel").click().run()

    assert not app.exception
    assert [AWAY in error.value for error in app.error] == [True]


def test_other_faults_are_not_taken_for_an_outage():
    @says_when_away
    def draw() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        draw()


def test_a_purged_batch_says_that_its_texts_are_gone_and_still_lists_its_students(client: JobClient):
    enqueue(client, "anna", "ben")
    end(client, "anna")
    end(client, "ben", kind="refused")
    with client.store.transaction() as connection:
        connection.execute(update(batches).values(created_at=0.0))
    assert purge(client.store, older_than_seconds=1.0) == 2

    app = opened(page_of_batch)

    assert not app.exception
    captions = [caption.value for caption in app.caption]
    assert "Nothing has ended yet." not in captions
    assert [caption for caption in captions if caption.startswith("Texts were purged")]
    assert list(app.dataframe[0].value["student"]) == ["anna", "ben"]
    assert [text for text in texts(app) if "texts of this job were purged" in text]
    assert "-" not in texts(app), "no value is drawn where there is none"


def test_nothing_is_said_of_a_purge_where_there_was_none(client: JobClient):
    enqueue(client, "anna", "ben")
    assert "Nothing has ended yet." in [caption.value for caption in opened(page_of_batch).caption]
    end(client, "anna")

    app = opened(page_of_batch)

    assert list(app.dataframe[0].value["student"]) == ["anna"]
    assert "purged" not in "\n".join([*texts(app), read_as_markup(app)])


def test_a_page_reads_the_rows_that_it_draws_and_no_more(client: JobClient, monkeypatch: pytest.MonkeyPatch):
    ids = [f"s{number}" for number in range(8)]
    enqueue(client, *ids)
    for number, item in enumerate(ids[2:]):
        end(client, item, kind="refused" if number % 2 else None)
    read: list[int] = []
    real = reading._result_page

    def watching(*arguments: Any, **options: Any) -> Any:
        rows = real(*arguments, **options)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(reading, "_result_page", watching)
    monkeypatch.setattr(batch_page, "MOST_ROWS", 2)

    app = opened(page_of_batch)
    assert list(app.dataframe[0].value["student"]) == ["s2", "s3"]
    assert "The first 2; the files hold them all." in [caption.value for caption in app.caption]
    assert sum(read) == 3
    read.clear()
    app.toggle(key="failures only").set_value(True).run()
    assert list(app.dataframe[0].value["student"]) == ["s3", "s5"]
    assert sum(read) == 3


def test_every_batch_can_be_reached_and_only_those_of_a_page_are_counted(
    client: JobClient, monkeypatch: pytest.MonkeyPatch
):
    for number in range(7):
        enqueue(client, "anna", name=f"b{number}")
    asked: list[int] = []
    real = batch_list.batches_on_page

    def watching(page: int, *, per_page: int) -> Any:
        found = real(page, per_page=per_page)
        asked.append(len(found))
        return found

    monkeypatch.setattr(batch_list, "batches_on_page", watching)
    monkeypatch.setattr(batch_list, "PER_PAGE", 3)

    app = opened(page_of_batches)
    pages = [[button.label for button in app.button]]
    assert app.get("pagination")[0].num_pages == 3
    for number in (2, 3):
        app.get("pagination")[0].select(number).run()
        pages.append([button.label for button in app.button])
    assert pages == [["b6", "b5", "b4"], ["b3", "b2", "b1"], ["b0"]]
    assert asked == [3, 3, 1]


def test_the_downloads_hold_every_job_whole(client: JobClient):
    enqueue(client, "anna", "ben")
    end(client, "anna", {**FINE, "summary": "x" * 500})

    app = opened(page_of_batch)

    assert [button.label for button in app.download_button] == ["CSV", "JSONL"]
    assert not any(button.proto.disabled for button in app.download_button)
    batch = client.batch("b")
    assert [line["id"] for line in map(json.loads, jsonl_file(batch).splitlines())] == ["anna", "ben"]
    assert "x" * 500 in csv_file(batch).decode("utf-8-sig")
