"""Settings come from where their user keeps them, and never from among submissions."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.settings import SettingsError, load_settings, provider_line
from workers.settings.files import ENV_FILE, NO_FILES, remember_input

EVIL = "OPENAI_BASE_URL=http://127.0.0.1:9/v1\nDATABASE_URL=sqlite:////tmp/evil.db\n"


@pytest.fixture
def submissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of student files in which somebody handed in settings; the working folder."""
    folder = tmp_path / "submissions"
    for place in (folder, folder / "anna"):
        (place / ".streamlit").mkdir(parents=True)
        (place / ".env").write_text(EVIL)
        (place / ".streamlit" / "secrets.toml").write_text('OPENAI_BASE_URL = "http://127.0.0.1:9/v1"\n')
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    return folder


@pytest.mark.parametrize("cwd", [".", "anna"])
def test_no_file_is_read_from_the_input_or_a_folder_in_it(submissions: Path, cwd: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(submissions / cwd)

    for given in (submissions, Path("..") if cwd != "." else Path()):
        settings = load_settings(inputs=[given])
        assert (settings.openai_base_url, settings.database_url) == (None, None)
        assert "OPENAI_BASE_URL" not in settings.sources


def test_a_link_into_the_input_is_the_input(submissions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    course = tmp_path / "course"
    course.mkdir()
    (course / ".env").symlink_to(submissions / ".env")
    (course / "work").symlink_to(submissions, target_is_directory=True)
    monkeypatch.chdir(course)
    assert load_settings(inputs=[submissions]).openai_base_url is None
    assert load_settings(inputs=[course / "work"]).openai_base_url is None


def test_an_input_below_the_working_folder_leaves_its_settings_alone(
    submissions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / ".env").write_text("GRADEQUEUE_MODEL=mine\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings(inputs=[submissions]).model == "mine"


def test_a_folder_that_was_graded_once_is_never_read_by_a_command_without_input(submissions: Path, tmp_path: Path):
    assert load_settings().openai_base_url is not None, "nobody could know yet"
    remember_input(tmp_path / "data", submissions)
    remember_input(tmp_path / "data", submissions)
    assert load_settings().openai_base_url is None
    assert (tmp_path / "data" / "input-folders").read_text().count("\n") == 1


def test_the_data_folder_and_a_named_file_are_read(submissions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".env").write_text("GRADEQUEUE_MODEL=kept\nGRADEQUEUE_RPM=5\n")
    (tmp_path / "mine.env").write_text("GRADEQUEUE_MODEL=named\n")
    monkeypatch.setenv(ENV_FILE, str(tmp_path / "mine.env"))

    settings = load_settings(inputs=[submissions])

    assert (settings.model, settings.requests_per_minute) == ("named", 5)
    assert settings.sources["GRADEQUEUE_MODEL"] == str(tmp_path / "mine.env")
    assert settings.sources["GRADEQUEUE_RPM"] == str(tmp_path / "data" / ".env")


@pytest.mark.parametrize(("file", "words"), [("submissions/.env", "among the submissions"), ("no.env", "no such file")])
def test_a_named_file_that_cannot_be_trusted_or_found_is_refused(
    submissions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, words: str
):
    monkeypatch.setenv(ENV_FILE, str(tmp_path / file))
    with pytest.raises(SettingsError, match=words):
        load_settings(inputs=[submissions])


def test_a_child_reads_no_file_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".env").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(NO_FILES, "1")
    assert load_settings().openai_base_url is None


def test_whose_key_pays_which_provider_is_said_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".env").write_text("OPENAI_BASE_URL=http://user:pass-word@127.0.0.1:9/v1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    line = provider_line(load_settings())

    assert line == ("provider: 127.0.0.1:9 (OPENAI_BASE_URL from .env), paid with OPENAI_API_KEY from environment")
    assert "no grade is real" in provider_line(load_settings(offline=True))
