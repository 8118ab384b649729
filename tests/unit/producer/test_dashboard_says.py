"""What the form of a new batch says is what pressing its button does: how many, who, with which model and rubric."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.unit.producer.test_dashboard_new_batch import (
    ANNA,
    BEN,
    CLEO,
    labelled,
    model_typed,
    named,
    prompts,
    sent,
    texts,
    uploaded,
)
from tests.unit.producer.test_dashboard_pages import the_page_s_client
from workers.contract.schemes.scheme import RUBRIC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

    from producer import JobClient
    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def boxes(app: AppTest) -> str:
    return "\n".join(info.value for info in app.info)


def test_a_second_hand_in_is_graded_again_and_button_and_box_say_so(client: JobClient):
    sent(named(uploaded(ANNA, BEN, CLEO), "week1"))
    again = ("anna.py", b"print(9)", "text/x-python")

    app = uploaded(again, BEN, CLEO)
    assert "2 of 3 are in week1 already; 1 handed in other work since and gets another round" in boxes(app).replace(
        "\\", ""
    )
    assert app.button(key="grade").label == "Grade 1 submission again"
    app.toggle(key="renews").set_value(False).run()
    assert app.button(key="grade").label == "Grade nothing new, open the batch"
    assert "stay as graded before" in boxes(app)
    named(app, "other")
    assert app.button(key="grade").label == "Grade 3 submissions"
    assert "week1" not in boxes(app)

    app = uploaded(again, BEN, CLEO, ("dora.py", b"print(4)", "text/x-python"))
    app = named(app, "week1")
    assert app.button(key="grade").label == "Grade 1 new submission and 1 again"
    sent(app)
    assert not app.error
    assert [prompt for prompt in prompts(client, "week1") if "print(9)" in prompt]
    assert client.batch("week1").progress().total == 4


def test_other_work_stays_as_it_was_graded_where_that_is_wanted(client: JobClient):
    sent(named(uploaded(ANNA, BEN, CLEO), "week1"))
    app = uploaded(("anna.py", b"print(9)", "text/x-python"), BEN, CLEO)
    app.toggle(key="renews").set_value(False).run()
    sent(app)
    assert not app.error
    assert not [prompt for prompt in prompts(client, "week1") if "print(9)" in prompt]


@pytest.mark.usefixtures("client")
def test_a_conflict_is_said_in_the_page_s_words():
    sent(named(uploaded(ANNA), "week1"))
    app = sent(named(uploaded(("anna.py", b"print(9)", "text/x-python")), "week1"))
    assert [text for text in texts(app) if "Another name of the batch grades this upload by itself." in text]
    assert not [text for text in texts(app) if "--" in text]


@pytest.mark.usefixtures("client")
def test_models_of_the_provider_are_suggested_and_an_unknown_one_is_warned_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GRADEQUEUE_MODEL")
    app = uploaded(ANNA)
    field = labelled(app.selectbox, "Model")
    assert field.value is None
    assert "gpt-5-mini" in field.options
    assert "Choose the model, or type its name." in boxes(app)
    field.set_value("gpt-5-mini").run()
    assert not [warning for warning in app.warning if "check its spelling" in warning.value]
    model_typed(app, "gpt-5-mimi")
    assert [warning for warning in app.warning if "check its spelling" in warning.value]


@pytest.mark.usefixtures("client")
def test_the_editor_of_a_rubric_says_how_rows_are_read_and_warns_of_the_example():
    app = uploaded(ANNA)
    labelled(app.selectbox, "Kind of result").set_value(RUBRIC_SCHEMA).run()
    assert "needs a rubric" in boxes(app)
    app.toggle(key="edit rubric ").set_value(True).run()
    assert "needs a rubric" not in boxes(app)
    assert [caption for caption in app.caption if "one more level of the criterion above" in caption.value]
    assert [warning for warning in app.warning if "the unchanged example" in warning.value]


def test_who_is_left_out_follows_the_model_that_is_chosen(client: JobClient, monkeypatch: pytest.MonkeyPatch):
    from PIL import Image

    monkeypatch.delenv("GRADEQUEUE_MODEL")
    photo, work = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (60, 40), "white").save(photo, "JPEG")
    with zipfile.ZipFile(work, "w") as archive:
        archive.writestr("week1/anna/page.jpg", photo.getvalue())
        archive.writestr("week1/ben/main.py", "print(2)")

    app = uploaded(("week1.zip", work.getvalue(), "application/zip"))
    (said,) = [success.value for success in app.success]
    assert "1 student to grade, 1 with pictures only, graded if the model sees pictures" in said
    assert "anna: graded from the pictures if the model sees pictures" in texts(app)
    labelled(app.selectbox, "Model").set_value("gpt-4o").run()
    assert [success.value for success in app.success] == ["Understood: 2 students to grade"]
    assert app.button(key="grade").label == "Grade 2 submissions"
    model_typed(app, "blind")
    assert [success.value for success in app.success] == ["Understood: 1 student to grade, 1 with nothing to grade"]
    assert "anna: not graded: pictures only" in texts(app)
    assert app.button(key="grade").label == "Grade 1 submission"
    assert client.batches() == []
