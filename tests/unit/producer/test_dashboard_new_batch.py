"""From an upload to a batch: one name stands for one way of grading, and what the enqueue did is said."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

import producer
from producer import Item
from tests.unit.producer.test_dashboard_pages import the_page_s_client
from workers.contract.schemes.fence import Fence
from workers.contract.schemes.scheme import RUBRIC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer import JobClient
    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

APP = Path(producer.__file__).parent / "page" / "app.py"
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


def labelled(elements: Any, label: str) -> Any:
    """The one field with this label."""
    (found,) = [element for element in elements if element.label == label]
    return found


def model_typed(app: AppTest, name: str) -> AppTest:
    """Type a name that is not among the suggestions, as a browser sends it."""
    field = labelled(app.selectbox, "Model")
    field.options.append(name)  # AppTest sends only what it knows as an option
    return field.set_value(name).run()


def sent(app: AppTest) -> AppTest:
    app.button(key="grade").click().run()
    assert not app.exception
    return app


def prompts(client: JobClient, name: str) -> list[str]:
    from workers.store.stored_jobs import read_jobs

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
    assert [info.value for info in app.info if "added" in info.value] == ["2 submissions added\\."]
    assert client.batch("week1").progress().total == 2


def test_the_same_upload_again_says_that_nothing_is_new(client: JobClient):
    sent(named(uploaded(ANNA, BEN), "week1"))

    app = sent(named(uploaded(ANNA, BEN), "week1"))
    said = [info.value for info in app.info]
    expected = "Nothing was added: the batch has 2 submissions like these. Nothing is paid for again."
    assert expected in [each.replace("\\", "") for each in said]
    assert app.run().info[0].value == said[0], "it stays while the page is open"
    app.button(key="back").click().run()
    app.button(key="open week1").click().run()
    assert app.query_params["batch"] == "week1"
    assert not [info for info in app.info if "new" in info.value], "it was said once"
    assert client.batch("week1").progress().total == 2


def rubric_chosen(app: AppTest, title: str = "R") -> AppTest:
    labelled(app.selectbox, "Kind of result").set_value(RUBRIC_SCHEMA).run()
    return (
        app.file_uploader(key=f"scheme {RUBRIC_SCHEMA}").set_value(("r.json", rubric(title), "application/json")).run()
    )


def test_a_rubric_that_leaves_points_open_is_asked_about(client: JobClient):
    app = rubric_chosen(uploaded(ANNA))
    assert [warning.value for warning in app.warning if "best levels give 0 of 1 points" in warning.value]
    app.radio(key="level points").set_value("highest").run()
    assert not [warning.value for warning in app.warning if "levels" in warning.value]
    sent(named(app, "week1"))
    with client.store.snapshot() as connection:
        (job,) = client.batch("week1").jobs()
        from workers.store.results import read_context

        context = read_context(connection, str(job.context_hash))
    assert (context or {})["criteria"][0]["points_strategy"] == "max"


def test_a_rubric_is_written_on_the_page(client: JobClient):
    app = uploaded(ANNA)
    labelled(app.selectbox, "Kind of result").set_value(RUBRIC_SCHEMA).run()
    app.toggle(key="edit rubric ").set_value(True).run()
    assert not app.exception
    assert [caption.value for caption in app.caption if caption.value == "6 points at most"]
    sent(named(app, "week1"))
    assert "Correctness" in str(next(iter(client.batch("week1").jobs())).instructions)


def test_a_kit_fills_the_form_and_what_was_asked_reaches_the_model(
    client: JobClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from producer.inputs.kits.starter import write_starter

    write_starter(tmp_path / "kits" / "week3")
    (tmp_path / "kits" / "week3" / "assignment.md").write_text("Write a loop.")
    (tmp_path / "kits" / "week3" / "kit.toml").write_text('model = "kit-model"')
    monkeypatch.setenv("GRADEQUEUE_KITS", str(tmp_path / "kits"))
    app = uploaded(ANNA)
    app.selectbox(key="kit").set_value("week3").run()
    assert not app.exception
    sent(named(app, "week1"))
    (job,) = client.batch("week1").jobs()
    assert job.model == "kit-model"
    assert "# Assignment\n\nWrite a loop." in str(job.instructions)
    assert client.batch("week1").overview().origin.assignment == "Write a loop."

    other = uploaded(BEN)
    other.selectbox(key="kit").set_value("week3").run()
    other.text_area(key="assignment week3").set_value("Write two loops.").run()
    sent(named(other, "week1"))
    assert [text for text in texts(other) if "(assignment, solution or notes differ)" in text]


def test_more_students_are_added_to_what_was_there(client: JobClient):
    sent(named(uploaded(ANNA, BEN), "week1"))

    app = sent(named(uploaded(ANNA, CLEO), "week1"))
    assert "1 submission added; 1 was in the batch already and costs nothing again." in [
        info.value.replace("\\", "") for info in app.info
    ]
    assert client.batch("week1").progress().total == 3


def test_a_late_upload_is_added_to_the_batch_that_holds_the_class(client: JobClient):
    sent(named(uploaded(ANNA, BEN), "week1"))
    app = uploaded(ANNA, BEN, ("cleo.py", b"print(3)", "text/x-python"))
    assert any("2 of 3 are in week1 already" in info.value for info in app.info)
    sent(app)
    assert client.batch("week1").progress().total == 3


def test_other_students_are_not_graded_under_a_name_that_means_another_template(client: JobClient):
    sent(named(uploaded(ANNA), "week1"))

    app = named(uploaded(BEN), "week1")
    app.text_area[0].set_value("Be strict: {submission}").run()
    sent(app)

    refusal = "batch 'week1' exists and was graded in another way (instructions differ); choose another name"
    assert [text for text in texts(app) if refusal in text]
    assert "batch" not in app.query_params
    assert len(prompts(client, "week1")) == 1
    sent(named(app, "week1 strict"))
    fence = Fence(str(client.batch("week1 strict").origin().fence))
    assert [fence.contents(prompt) for prompt in prompts(client, "week1 strict")] == [["print(2)"]]


def test_another_model_and_another_schema_are_named_in_the_refusal(client: JobClient):
    sent(named(uploaded(ANNA), "week1"))

    app = named(uploaded(BEN), "week1")
    model_typed(app, "other")
    labelled(app.selectbox, "Kind of result").set_value("feedback").run()
    sent(app)

    assert [text for text in texts(app) if "(kind of result and model differ); choose another name" in text]
    assert len(prompts(client, "week1")) == 1


def test_another_rubric_is_refused_too(client: JobClient):
    def with_rubric(file: tuple[str, bytes, str], title: str) -> AppTest:
        app = uploaded(file)
        labelled(app.selectbox, "Kind of result").set_value(RUBRIC_SCHEMA).run()
        app.file_uploader(key=f"scheme {RUBRIC_SCHEMA}").set_value(("r.json", rubric(title), "application/json")).run()
        return sent(named(app, "week1"))

    assert with_rubric(ANNA, "Old").query_params["batch"] == "week1"
    app = with_rubric(BEN, "New")

    assert [text for text in texts(app) if "(rubric or error catalogue differ)" in text]
    assert len(prompts(client, "week1")) == 1


def test_a_batch_of_another_program_or_provider_is_left_alone(client: JobClient):
    client.enqueue([Item("zoe", "x")], name="theirs", schema="feedback", model="m")
    client.provider = "q"

    app = sent(named(uploaded(ANNA), "theirs"))

    assert [text for text in texts(app) if "(instructions, kind of result, model and provider differ)" in text]
    assert prompts(client, "theirs") == ["x"]


def test_a_typed_name_survives_what_is_edited_after_it_even_a_template_that_is_broken_for_a_while(client: JobClient):
    app = uploaded(ANNA)
    suggested = app.text_input(key=NAME).value
    named(app, "midterm")

    for template in ("Be strict: {submission}", "no placeholder", "Be kind: {submission}"):
        app.text_area[0].set_value(template).run()
    assert app.text_input(key=NAME).value == "midterm"
    model_typed(app, "other")
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


def test_the_next_upload_starts_from_the_last_ones_way_of_grading_until_that_is_unwanted(client: JobClient):
    app = named(uploaded(ANNA), "week1")
    app.text_area[0].set_value("Be strict: {submission}").run()
    model_typed(app, "other")
    labelled(app.selectbox, "Kind of result").set_value("feedback").run()
    sent(app)

    app = uploaded(BEN)
    assert app.text_area[0].value == "Be strict: {submission}"
    assert labelled(app.selectbox, "Model").value == "other"
    assert labelled(app.selectbox, "Kind of result").value == "feedback"
    assert [success for success in app.success if "1 student to grade" in success.value]
    app.toggle(key="as before").set_value(False).run()
    assert "Be strict" not in app.text_area[0].value
    assert client.batch("week1").progress().total == 1


def test_work_that_names_a_student_is_told_and_gets_a_pseudonym_where_that_is_wanted(
    client: JobClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from producer.inputs.kits.starter import write_starter

    write_starter(tmp_path / "kits" / "week3")
    (tmp_path / "kits" / "week3" / "roster.csv").write_text("id,name\n100231,Grace Hopper\n")
    monkeypatch.setenv("GRADEQUEUE_KITS", str(tmp_path / "kits"))
    app = uploaded(("anna.py", b"# with Grace Hopper\nprint(1)", "text/x-python"), BEN)
    app.selectbox(key="kit").set_value("week3").run()
    assert "anna: line 1: a passage names a student: name" in texts(app)
    suggested = app.text_input(key=NAME).value
    app.selectbox(key="identity").set_value("replace").run()
    assert not app.exception
    assert app.text_input(key=NAME).value != suggested
    sent(named(app, "week1"))

    anna, ben = client.batch("week1").jobs()
    assert list(anna.pseudonyms.values()) == ["Grace Hopper"]
    assert "Hopper" not in (anna.prompt or "")
    assert (ben.pseudonyms, anna.input_flags) == ({}, ())
    assert client.batch("week1").origin().identity == "replace"
