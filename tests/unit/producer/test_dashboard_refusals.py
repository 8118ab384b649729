"""What the command line refuses the page refuses, too, and what only a person knows it asks."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.unit.producer.test_dashboard_new_batch import (
    ANNA,
    APP,
    BEN,
    labelled,
    named,
    prompts,
    rubric,
    sent,
    texts,
    uploaded,
)
from tests.unit.producer.test_dashboard_pages import the_page_s_client
from workers.contract.schemes.fence import Fence
from workers.contract.schemes.scheme import RUBRIC_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

    from producer import JobClient
    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FORMS = (
    "forms.csv",
    b'Timestamp,id,1. What does recursion mean?\n2026,anna,"it calls itself"\n2026,ben,"a loop"\n',
    "text/csv",
)


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def written(app: AppTest, template: str) -> AppTest:
    app.text_area[0].set_value(template).run()
    assert not app.exception
    return app


def has_button(app: AppTest) -> bool:
    return any(button.key == "grade" for button in app.button)


@pytest.mark.parametrize(
    "template", ["Grade {id}", "{{submission}}", "{ submission }", "<submission>", "{Submision}", "Grade this.", ""]
)
@pytest.mark.usefixtures("client")
def test_a_template_without_the_work_gives_no_button(template: str):
    app = written(uploaded(ANNA), template)

    assert not has_button(app)
    assert [text for text in texts(app) if text.startswith("template")]


def test_a_column_named_like_a_question_is_suggested_and_graded(client: JobClient):
    app = uploaded(FORMS)
    assert "{1. What does recursion mean?}" in app.text_area[0].value
    assert not has_button(written(app, "For {id} at {Timestamp}"))

    sent(named(written(app, "{id}: {1. What does recursion mean?}"), "forms"))

    fence = Fence(str(client.batch("forms").origin().fence))
    assert [fence.contents(prompt) for prompt in prompts(client, "forms")] == [
        ["anna", "it calls itself"],
        ["ben", "a loop"],
    ]


@pytest.mark.parametrize("schema", ["os:path", "evil.py:Model", "rubric_assessment", "nonsense"])
def test_a_row_of_an_uploaded_table_names_no_other_schema(client: JobClient, schema: str):
    rows = f"id,submission,schema\nanna,x,{schema}\nben,y,\n".encode()

    app = uploaded(("rows.csv", rows, "text/csv"))

    assert [text for text in texts(app) if text.startswith(f"rows.csv line 2: schema '{schema}' is unknown")]
    sent(named(app, "rows"))
    assert [row.id for row in client.batch("rows").results()] == ["ben"]


def archive(name: str, content: bytes) -> tuple[str, bytes, str]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(name, content)
    return ("week1.zip", file.getvalue(), "application/zip")


@pytest.mark.usefixtures("client")
def test_a_table_alone_in_the_zip_gives_rows_only_when_somebody_said_that_it_is_theirs():
    app = uploaded(archive("rows.csv", b"id,submission\nanna,x\nben,y\n"))
    assert app.button(key="grade").label == "Grade 1 submission"

    app.toggle(key="table gives rows").set_value(True).run()
    assert app.button(key="grade").label == "Grade 2 submissions"
    app.toggle(key="archives are students").set_value(True).run()
    assert not [toggle for toggle in app.toggle if toggle.key == "table gives rows"]
    assert app.button(key="grade").label == "Grade 1 submission"
    app.toggle(key="archives are students").set_value(False).run()
    assert app.toggle(key="table gives rows").value is False, "the question is asked anew"


@pytest.mark.usefixtures("client")
def test_a_table_below_a_folder_is_never_asked_about():
    app = uploaded(archive("anna/rows.csv", b"id,submission\nben,x\n"))

    assert not [toggle for toggle in app.toggle if toggle.key == "table gives rows"]
    assert "for rows, as it will be sent to the model" in [each.value for each in app.caption]


def test_a_file_that_is_not_utf_8_is_refused_until_its_encoding_is_named(client: JobClient):
    app = uploaded(("anna.py", "x = 'Größe'".encode("cp1252"), "text/x-python"))
    assert [text for text in texts(app) if "its encoding is not certain" in text]

    app.selectbox(key="encoding").set_value("cp1252").run()
    sent(named(app, "week1"))

    assert "x = 'Größe'" in prompts(client, "week1")[0]


@pytest.mark.usefixtures("client")
def test_an_assumed_encoding_is_said_before_the_button():
    app = uploaded(("anna.py", ("Die Lösung prüft die Größe für alle Einträge. " * 3).encode("cp1252"), "text/plain"))

    assert [each.value for each in app.caption if "read as Windows\\-1252 \\(Western\\)\\: 1 file" in each.value]


def test_a_rubric_fences_the_work_alone_and_the_same_upload_finds_its_batch(client: JobClient):
    def graded(*files: tuple[str, bytes, str]) -> AppTest:
        app = uploaded(*files)
        labelled(app.selectbox, "Kind of result").set_value(RUBRIC_SCHEMA).run()
        app.file_uploader(key=f"scheme {RUBRIC_SCHEMA}").set_value(("r.json", rubric("R"), "application/json")).run()
        return sent(named(written(app, "Be strict with {id}:\n{submission}"), "week1"))

    graded(ANNA)
    app = graded(ANNA, BEN)

    assert "1 submission added; 1 was in the batch already and costs nothing again." in [
        info.value.replace("\\", "") for info in app.info
    ]
    fence = Fence(str(client.batch("week1").origin().fence))
    first, second = prompts(client, "week1")
    assert (fence.contents(first), fence.contents(second)) == (["anna", "print(1)"], ["ben", "print(2)"])


def test_a_batch_named_by_the_page_is_found_again_whatever_its_fence(client: JobClient):
    from streamlit.testing.v1 import AppTest

    names = set()
    for _ in range(2):
        app = AppTest.from_file(str(APP), default_timeout=30).run()
        app.file_uploader[0].set_value([ANNA]).run()
        labelled(app.selectbox, "Kind of result").set_value(RUBRIC_SCHEMA).run()
        app.file_uploader(key=f"scheme {RUBRIC_SCHEMA}").set_value(("r.json", rubric("R"), "application/json")).run()
        names.add(sent(app).query_params["batch"])
    assert len(names) == 1
    assert len(client.batches()) == 1
