"""The page as a visitor meets it, in Streamlit's test harness: a real store, no broker, no worker."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from sqlalchemy import insert, select, update
from streamlit.testing.v1 import AppTest

from producer import Item, JobClient
from producer.page import batch_list, login, services, students
from producer.page.door import GuessThrottle
from producer.page.tables import csv_file, jsonl_file
from producer.page.who import Role
from producer.review.glance import BatchOrder, Show
from workers.contract.headline import headline
from workers.contract.registry import builtin_registry
from workers.store.retention import purge
from workers.store.tables import batches, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

EVIL = "**bold** <b id=evil>"
FINE: dict[str, object] = {"summary": "fine", "score": 90, "suggestions": []}


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def the_page_s_client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    """A client without a broker, which the page takes for its own."""
    client = JobClient(store=store, publisher=None, registry=builtin_registry(), provider="p")
    monkeypatch.chdir(tmp_path)  # no .env of anybody's
    monkeypatch.setenv("GRADEQUEUE_MODEL", "m")
    monkeypatch.setattr(JobClient, "connect", lambda _settings, **_options: client)
    services.client.clear()
    services.settings.clear()
    yield client
    services.client.clear()
    services.settings.clear()


def enqueue(client: JobClient, *ids: str, name: str = "b") -> None:
    client.enqueue([Item(item, f"Grade {item}") for item in ids], name=name, schema="feedback", model="m")


def end(
    client: JobClient, item_id: str, result: object = FINE, *, kind: str | None = None, batch: str | None = None
) -> None:
    """A worker's part: the job ends, long ago. `batch` where several have the item."""
    of_batch = [] if batch is None else [batches.c.name == batch]
    with client.store.transaction() as connection:
        row = connection.execute(
            select(jobs).join(batches, batches.c.id == jobs.c.batch_id).where(jobs.c.item_id == item_id, *of_batch)
        ).one()
        connection.execute(
            insert(outcomes).values(
                job_id=row.id, round=row.round, batch_id=row.batch_id, claim=row.claim, finished_at=0.0,
                result=None if kind else json.dumps(result), failure_kind=kind, is_standin=False,
                points=None if kind else headline(result),
            )
        )  # fmt: skip
        state = "failed" if kind else "succeeded"
        connection.execute(update(jobs).where(jobs.c.id == row.id).values(state=state, finished_at=0.0))


def page_of_batch() -> None:
    from producer.page import batch_page
    from producer.page.outage import says_when_away

    says_when_away(batch_page.show)("b", back=lambda: None)


def page_of_student() -> None:
    from producer.page import student_page

    student_page.show("b", "anna")


def page_of_batches() -> None:
    from producer.page import batch_list

    batch_list.show()


def page_of_login() -> None:

    from producer.page import login

    if login.is_in():
        st.write("inside")
    else:
        login.ask()


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

    app = opened(page_of_student)

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


def listed(app: AppTest) -> list[str]:
    """The students on the page, by their buttons."""
    keys = [str(button.key) for button in app.button]
    return [key.removeprefix("student ") for key in keys if key.startswith("student ")]


def test_a_purged_batch_lists_its_students_and_says_that_their_texts_are_gone(client: JobClient):
    enqueue(client, "anna", "ben")
    end(client, "anna")
    end(client, "ben", kind="refused")
    with client.store.transaction() as connection:
        connection.execute(update(batches).values(created_at=0.0))
    assert purge(client.store, older_than_seconds=1.0) == 2

    assert sorted(listed(opened(page_of_batch))) == ["anna", "ben"]
    app = opened(page_of_student)

    assert not app.exception
    assert [text for text in texts(app) if "texts of this submission were purged" in text]
    assert "-" not in texts(app), "no value is drawn where there is none"


def test_a_page_draws_a_few_students_and_filters_reach_the_others(client: JobClient, monkeypatch: pytest.MonkeyPatch):
    assert "No results yet." in [info.value for info in opened_empty(client).info]
    ids = [f"s{number}" for number in range(8)]
    enqueue(client, *ids)
    for number, item in enumerate(ids[2:]):
        end(client, item, kind="refused" if number % 2 else None)
    monkeypatch.setattr(students, "PER_PAGE", 2)

    app = opened(page_of_batch)
    assert listed(app) == ["s3", "s5"]  # failures are what to read first
    for key, expected in (("Next", ["s7", "s2"]), ("Next", ["s4", "s6"]), ("Previous", ["s7", "s2"])):
        app.button(key=f"{key} page of students").click().run()
        assert listed(app) == expected
    app.selectbox(key="show all").select(Show.FAILED).run()
    assert listed(app) == ["s3", "s5"]
    app.text_input(key="search students").set_value("7").run()
    assert listed(app) == ["s7"]


def opened_empty(client: JobClient) -> AppTest:
    enqueue(client, "zoe")
    app = opened(page_of_batch)
    assert not listed(app)
    return app


def test_a_batch_that_nobody_works_on_says_how_to_start_a_worker(client: JobClient):
    enqueue(client, "anna")

    app = opened(page_of_batch)

    assert [warning for warning in app.warning if "No worker runs" in warning.value]
    assert [code.value for code in app.code] == ["gradequeue worker --queues bulk"]


def test_every_batch_can_be_reached_and_only_those_of_a_page_are_counted(
    client: JobClient, monkeypatch: pytest.MonkeyPatch
):
    for number in range(7):
        enqueue(client, "anna", name=f"b{number}")
    asked: list[int] = []
    real = JobClient.page_of_batches

    def watching(client: JobClient, **bounds: Any) -> Any:
        found = real(client, **bounds)
        asked.append(len(found.rows))
        return found

    monkeypatch.setattr(JobClient, "page_of_batches", watching)
    monkeypatch.setattr(batch_list, "PER_PAGE", 3)

    app = opened(page_of_batches)
    pages = [listed_batches(app)]
    for key in ("Next page of batches", "Next page of batches", "Previous page of batches"):
        app.button(key=key).click().run()
        pages.append(listed_batches(app))
    assert pages == [["b6", "b5", "b4"], ["b3", "b2", "b1"], ["b0"], ["b3", "b2", "b1"]]
    app.selectbox(key="order of batches").select(BatchOrder.OLDEST).run()
    assert listed_batches(app) == ["b0", "b1", "b2"], "another order begins with its first page"
    assert asked == [3, 3, 1, 3, 3]


def listed_batches(app: AppTest) -> list[str]:
    return [button.label for button in app.button if str(button.key).startswith("open ")]


def test_the_downloads_hold_every_job_whole(client: JobClient):
    enqueue(client, "anna", "ben")
    end(client, "anna", {**FINE, "summary": "x" * 500})

    app = opened(page_of_batch)

    assert [button.label for button in app.download_button] == ["CSV", "JSONL"]
    assert not any(button.proto.disabled for button in app.download_button)
    batch = client.batch("b")
    assert [line["id"] for line in map(json.loads, jsonl_file(batch).splitlines())] == ["anna", "ben"]
    assert "x" * 500 in csv_file(batch).decode("utf-8-sig")


@pytest.mark.usefixtures("client")
def test_the_right_password_is_let_in_whatever_was_guessed_wrong_from_the_same_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADEQUEUE_DASHBOARD_PASSWORD", "a long secret")
    services.settings.clear()
    pauses: list[float] = []
    monkeypatch.setattr(login, "sleep", pauses.append)
    monkeypatch.setattr(login, "throttle", GuessThrottle())
    app = opened(page_of_login)
    for _ in range(12):
        app.text_input[1].set_value("a wrong one")
        app.button[0].click().run()
        assert [error.value for error in app.error] == ["Wrong password."]
    assert pauses[0] == 0
    assert max(pauses) == login.LONGEST_PAUSE_SECONDS
    pauses.clear()

    app.text_input[1].set_value("a long secret")
    app.button[0].click().run()
    assert [error.value for error in app.error] == ["Enter your name: decisions about grades carry it."]
    app.text_input[0].set_value(" Kim ")
    app.button[0].click().run()

    assert app.session_state.is_in
    assert (app.session_state["who"], app.session_state["role"]) == ("Kim", Role.OWNER)
    assert pauses == []
