"""A large archive on the page: who is in it and the first prompt come from its directory and a few of its files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from producer.inputs.courses.tree import ZipFiles
from producer.page import first_look as looking
from producer.page import local_files, services, upload_form, uploads
from producer.page.first_look import READ_FIRST, first_look
from producer.page.local_files import CHOICE
from producer.page.uploads import UploadedFile, begin_upload, read_upload
from tests.support.course_corpus import DOWNLOADS, STUDENTS, moodle
from tests.unit.producer.test_dashboard_new_batch import APP, client, named, sent, uploaded  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer import JobClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "LEAST_FILES", 2)


@pytest.fixture
def read_paths(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was unpacked of archives."""
    paths: list[str] = []
    read = ZipFiles.read

    def noted(self: ZipFiles, path: str, *, max_bytes: int) -> bytes:
        paths.append(path)
        return read(self, path, max_bytes=max_bytes)

    monkeypatch.setattr(ZipFiles, "read", noted)
    return paths


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize("name", DOWNLOADS)
def test_names_alone_tell_the_students_that_the_whole_reading_finds(name: str, tmp_path: Path, read_paths: list[str]):
    download = DOWNLOADS[name]()
    content = io.BytesIO(download.zipped(tmp_path / "download.zip").read_bytes())
    look = first_look(content, "download.zip")
    few = len(read_paths)
    whole = read_upload([UploadedFile("download.zip", content)])

    assert look is not None
    assert {each.id for each in look.students} == {item.id for item in whole.items}
    assert look.total == len(whole.items)
    read_whole = {item.id: (item.fields, item.left_out) for item in whole.items}
    assert [(each.fields, each.left_out) for each in look.items] == [read_whole[each.id] for each in look.items]
    assert sum(not each.left_out for each in look.items) == READ_FIRST
    lists = {"timestamp.txt"} if name.startswith("nbgrader") else set()
    work = [path for path in read_paths[:few] if path.rpartition("/")[2] not in lists]
    assert len(work) < len(download.files) / 2 or name == "blackboard", "which tells names in a file per student"


@pytest.mark.usefixtures("everything_is_large")
def test_what_shows_nothing_without_being_read_has_no_first_look(tmp_path: Path):
    whole = moodle().zipped(tmp_path / "m.zip").read_bytes()
    assert first_look(io.BytesIO(whole[: len(whole) // 2]), "m.zip") is None, "damaged"
    one = tmp_path / "one.zip"
    table = moodle()
    table.files = {"grades.csv": b"id,code\n1,x\n", "__MACOSX/x": b"", ".DS_Store": b""}
    assert first_look(io.BytesIO(table.zipped(one).read_bytes()), "one.zip") is None, "it may be a table"
    file = UploadedFile("m.zip", io.BytesIO(whole))
    assert begin_upload([file, UploadedFile("x.py", io.BytesIO(b"1"))]).look is None
    assert begin_upload([file], uploads.Reading(archives_are_students=True)).look is None
    assert begin_upload([file]).look is not None


def test_a_small_archive_is_read_at_once(tmp_path: Path):
    found = begin_upload([UploadedFile("m.zip", io.BytesIO(moodle().zipped(tmp_path / "m.zip").read_bytes()))])
    assert found.look is None
    assert len(found.items) == STUDENTS


@pytest.mark.usefixtures("everything_is_large", "client")
def test_the_first_prompt_is_on_the_page_before_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    content = moodle().zipped(tmp_path / "m.zip").read_bytes()
    whole, asked = upload_form.read_upload, []

    def stops(*given: Any) -> None:
        asked.append(given)
        st.stop()

    monkeypatch.setattr(upload_form, "read_upload", stops)
    app = uploaded(("m.zip", content, "application/zip"))
    assert len(asked) == 1
    assert any(f"{STUDENTS} students" in each.value for each in app.info)
    assert "First prompt" in [each.value for each in app.subheader]
    assert "grade" not in [str(each.key) for each in app.button], "nothing can be graded before it is read"

    monkeypatch.setattr(upload_form, "read_upload", whole)
    app.run()
    assert not app.exception
    assert app.button(key="grade").label.startswith(f"Grade {STUDENTS}")
    assert any(each.value.startswith(f"Understood: {STUDENTS} students") for each in app.success)
    app.run()
    assert app.button(key="grade"), "and it is read once"


@pytest.mark.usefixtures("everything_is_large")
def test_a_zip_of_the_named_folder_is_graded_without_an_upload(
    client: JobClient,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    folder = tmp_path / "Downloads"
    folder.mkdir()
    moodle().zipped(folder / "CS1-Week 3-42.zip")
    (tmp_path / "elsewhere.zip").write_bytes(b"x")
    (folder / "link.zip").symlink_to(tmp_path / "elsewhere.zip")
    (folder / "notes.txt").write_text("no archive", encoding="utf-8")
    monkeypatch.setenv("GRADEQUEUE_DOWNLOADS", str(folder))
    services.settings.clear()
    app = AppTest.from_file(str(APP), default_timeout=30).run()
    assert app.selectbox(key=CHOICE).options == ["CS1-Week 3-42.zip"]
    app.selectbox(key=CHOICE).select("CS1-Week 3-42.zip").run()
    sent(named(app, "week3"))
    assert client.batch("week3").progress().total == STUDENTS

    monkeypatch.setenv("GRADEQUEUE_DASHBOARD_PASSWORD", "a long secret")
    services.settings.clear()
    assert not local_files.is_private(), "with a login nobody chooses files of the server"


def test_work_that_a_page_cannot_hold_is_refused_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads, "MAX_WORK_MIB", 0)
    content = io.BytesIO(moodle().zipped(tmp_path / "m.zip").read_bytes())
    found = read_upload([UploadedFile("m.zip", content)])
    assert found.items == ()
    assert "gradequeue run m.zip" in found.problems[0]
