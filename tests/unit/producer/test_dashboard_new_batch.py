"""From an upload to a batch: one name stands for one way of grading, and what the enqueue did is said."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

import producer
from producer import Item
from producer.scheme import RUBRIC_SCHEMA
from tests.unit.producer.test_dashboard_pages import the_page_s_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer import JobClient
    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

APP = Path(producer.__file__).parent / "streamlit_app.py"
NAME = "name of batch"
ANNA = ("anna.py", b"print(1)", "text/x-python")
BEN = ("ben.py", b"print(2)", "text/x-python")
CLEO = ("cleo.py", b"print(3)", "text/x-python")


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def uploaded(*files: tuple[str, bytes, str]) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=30).run()
    app.file_uploader[0].set_value(list(files)).run()
    assert not app.exception
    return app


def named(app: AppTest, name: str) -> AppTest:
    return app.text_input(key=NAME).set_value(name).run()


def sent(app: AppTest) -> AppTest:
    app.button(key="grade").click().run()
    assert not app.exception
    return app


def prompts(client: JobClient, name: str) -> list[str]:
    from workers.store.content import read_jobs

    with client.store.snapshot() as connection:
        return [job.prompt or "" for job in read_jobs(connection, name)]


def texts(app: AppTest) -> list[str]:
    return [text.value for text in app.text]


def rubric(title: str) -> bytes:
    level = {"label": "Good", "score_min": 0, "score_max": 1}
    criterion = {"criterion_id": "style", "name": "Style", "max_points": 1, "levels": [level]}
    return json.dumps({"rubric_id": "r", "title": title, "criteria": [criterion]}).encode()


def test_an_upload_becomes_a_batch_and_its_page_says_how_much_is_new(client: JobClient):
    app = sent(named(uploaded(ANNA, BEN), "week1"))

    assert app.query_params["batch"] == "week1"
    assert [info.value for info in app.info if "new" in info.value] == ["2 new"]
    assert client.batch("week1").progress().total == 2


def test_the_same_upload_again_says_that_nothing_is_new(client: JobClient):
    sent(named(uploaded(ANNA, BEN), "week1"))

    app = sent(named(uploaded(ANNA, BEN), "week1"))
    said = [info.value for info in app.info]
    assert "0 new, 2 were there already\\: nothing is graded or paid for again" in said
    assert app.run().info[0].value == said[0], "it stays while the page is open"
    app.button(key="back").click().run()
    app.button(key="open week1").click().run()
    assert app.query_params["batch"] == "week1"
    assert not [info for info in app.info if "new" in info.value], "it was said once"
    assert client.batch("week1").progress().total == 2


def test_more_students_are_added_to_what_was_there(client: JobClient):
    sent(named(uploaded(ANNA, BEN), "week1"))

    app = sent(named(uploaded(ANNA, CLEO), "week1"))
    assert "1 new, 1 was there already" in [info.value for info in app.info]
    assert client.batch("week1").progress().total == 3


def test_other_students_are_not_graded_under_a_name_that_means_another_template(client: JobClient):
    sent(named(uploaded(ANNA), "week1"))

    app = named(uploaded(BEN), "week1")
    app.text_area[0].set_value("Be strict: {submission}").run()
    sent(app)

    refusal = "batch 'week1' exists and was not made with this template; choose another name"
    assert [text for text in texts(app) if refusal in text]
    assert "batch" not in app.query_params
    assert len(prompts(client, "week1")) == 1
    sent(named(app, "week1 strict"))
    assert prompts(client, "week1 strict") == ["Be strict: print(2)"]


def test_another_model_and_another_schema_are_named_in_the_refusal(client: JobClient):
    sent(named(uploaded(ANNA), "week1"))

    app = named(uploaded(BEN), "week1")
    app.text_input(key="model").set_value("other").run()
    app.selectbox(key="schema").set_value("feedback").run()
    sent(app)

    assert [text for text in texts(app) if "not made with this schema and model; choose another name" in text]
    assert len(prompts(client, "week1")) == 1


def test_another_rubric_is_refused_too(client: JobClient):
    def with_rubric(file: tuple[str, bytes, str], title: str) -> AppTest:
        app = uploaded(file)
        app.selectbox(key="schema").set_value(RUBRIC_SCHEMA).run()
        app.file_uploader(key=f"scheme {RUBRIC_SCHEMA}").set_value(("r.json", rubric(title), "application/json")).run()
        return sent(named(app, "week1"))

    assert with_rubric(ANNA, "Old").query_params["batch"] == "week1"
    app = with_rubric(BEN, "New")

    assert [text for text in texts(app) if "not made with this rubric or error catalogue" in text]
    assert len(prompts(client, "week1")) == 1


def test_a_batch_of_another_program_or_provider_is_left_alone(client: JobClient):
    client.enqueue([Item("zoe", "x")], name="theirs", schema="feedback", model="m")
    client.provider = "q"

    app = sent(named(uploaded(ANNA), "theirs"))

    assert [text for text in texts(app) if "was not made with this template, schema, model and provider" in text]
    assert prompts(client, "theirs") == ["x"]


def test_a_typed_name_survives_what_is_edited_after_it_even_a_template_that_is_broken_for_a_while(client: JobClient):
    app = uploaded(ANNA)
    suggested = app.text_input(key=NAME).value
    named(app, "midterm")

    for template in ("Be strict: {submission}", "no placeholder", "Be kind: {submission}"):
        app.text_area[0].set_value(template).run()
    assert app.text_input(key=NAME).value == "midterm"
    app.text_input(key="model").set_value("other").run()
    assert app.text_input(key=NAME).value == "midterm"
    named(app, "  ")
    assert app.text_input(key=NAME).value.startswith("anna-")
    assert app.text_input(key=NAME).value != suggested, "the suggestion is the new template's"
    assert client.batches() == []


def test_without_a_typed_name_the_suggestion_follows_the_template(client: JobClient):
    app = uploaded(ANNA)
    first = app.text_input(key=NAME).value

    app.text_area[0].set_value("Be strict: {submission}").run()

    assert app.text_input(key=NAME).value != first
    assert app.text_input(key=NAME).value.startswith("anna-")
    assert client.batches() == []


def test_a_typed_name_goes_with_the_upload_that_it_was_typed_for(client: JobClient):
    app = named(uploaded(ANNA), "midterm")

    uploader = app.file_uploader[0]
    uploader._files = [*uploader._get_files_to_register(), ("another id", *BEN)]
    uploader.run()
    assert app.text_input(key=NAME).value == "midterm", "one more file is still that upload"
    app.file_uploader[0].set_value([CLEO]).run()
    assert app.text_input(key=NAME).value.startswith("cleo-")
    assert client.batches() == []


def test_how_a_zip_was_read_is_said_and_can_be_changed(client: JobClient):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("anna/a.py", "1")
        archive.writestr("anna/b.py", "2")

    app = uploaded(("late.zip", file.getvalue(), "application/zip"))
    assert "late\\.zip\\: 2 submissions, one for each file or folder in anna" in [each.value for each in app.caption]
    assert app.button(key="grade").label == "Grade 2 submissions"
    app.toggle(key="archives are students").set_value(True).run()
    assert "late\\.zip\\: 1 submission" in [each.value for each in app.caption]
    sent(named(app, "late"))

    assert [row.id for row in client.batch("late").results()] == ["late"]
    assert "===== anna/a.py =====\n1\n\n===== anna/b.py =====\n2" in prompts(client, "late")[0]
