"""What the documents promise can be followed: links, anchors, settings, and pages that are generated."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from ops.gate import docs
from producer.cli.commands import cli
from workers.settings import Settings, environment_name

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "ops").rglob("*.md")],
)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SETTING = re.compile(r"\bGRADEQUEUE_[A-Z_]+\b")
OF_AN_OPTION = re.compile(r'envvar="(\w+)"')
COMMANDS = REPOSITORY / "producer" / "cli"
MODEL = re.compile(r"\bgpt-\d[\w.-]*\w")
PROFILES = json.loads((REPOSITORY / "workers" / "contract" / "model_profiles.json").read_text(encoding="utf-8"))
COMMAND_LINE = re.compile(r"\s*gradequeue\s+(.+)")
NO_SETTINGS = {"GRADEQUEUE_COMPLETE"}
"""Click's own variable for shell completion."""


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def anchors(document: Path) -> set[str]:
    """As GitHub makes them: lower case, no punctuation, hyphens for spaces."""
    headings = (heading.replace("`", "") for heading in HEADING.findall(prose(document)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path):
    broken = []
    for target in LINK.findall(prose(document)):
        if "://" in target or target.startswith("mailto:"):
            continue
        place, _, anchor = target.partition("#")
        file = (document.parent / place).resolve() if place else document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_index_and_the_index_from_the_readme():
    index = REPOSITORY / "docs" / "index.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in LINK.findall(prose(index))}
    pages = {*(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "CONTRIBUTING.md", docs.decisions_page.PAGE} - {index}

    assert pages - linked == set()
    assert "docs/index.md" in LINK.findall(prose(REPOSITORY / "README.md"))


def test_every_setting_that_a_document_names_exists():
    known = {environment_name(field) for field in Settings.model_fields} | {"GRADEQUEUE_PRICES", *NO_SETTINGS}
    known |= {name for file in COMMANDS.glob("*.py") for name in OF_AN_OPTION.findall(file.read_text(encoding="utf-8"))}
    unknown = {
        f"{document.name}: {name}"
        for document in DOCUMENTS
        if document.name != "CHANGELOG.md"
        for name in SETTING.findall(document.read_text(encoding="utf-8"))
        if name not in known and name.rstrip("_") not in known
    }
    assert unknown == set()


def test_every_setting_says_what_it_is_for():
    rows = [line for line in docs.settings_page.page().splitlines() if line.startswith("| `")]

    assert len(rows) == len(Settings.model_fields)
    assert [row for row in rows if row.split(" | ")[-1].strip(" |") == ""] == []


def test_generated_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]):
    assert docs.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_page_is_named_and_the_command_that_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "settings.md"
    page.write_text("old")
    monkeypatch.setattr(docs, "REPOSITORY", tmp_path)
    monkeypatch.setattr(docs.settings_page, "PAGE", page)

    assert docs.main(["--check"]) == 1
    assert "settings.md is out of date; run: make docs" in capsys.readouterr().err
    assert page.read_text() == "old"

    docs.main([])
    assert docs.main(["--check"]) == 0


def test_every_model_that_documents_and_examples_name_is_known_and_has_no_end_in_sight():
    named = {
        name
        for file in [*DOCUMENTS, *(REPOSITORY / "docs").rglob("*.py"), *COMMANDS.glob("*.py")]
        if file.name != "CHANGELOG.md" and "decisions" not in file.parts
        for name in MODEL.findall(file.read_text(encoding="utf-8"))
    }
    assert named
    assert named - PROFILES["models"].keys() == set()
    assert {name for name in named if "shutdown_on" in PROFILES["models"][name]} == set()


def commands_of(document: Path) -> list[list[str]]:
    """The words of every `gradequeue ...` line in a code block, without comments."""
    blocks = FENCE.findall(document.read_text(encoding="utf-8"))
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(match[1], comments=True) for match in map(COMMAND_LINE.match, lines) if match]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_line_in_a_document_names_a_command_and_options_that_exist(document: Path):
    context = click.Context(cli)
    wrong = []
    for words in commands_of(document):
        name = words[0]
        command = cli.get_command(context, name) if not name.startswith("-") else cli
        if command is None:
            wrong.append(name)
            continue
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        known |= {"-h", "--help"}
        given = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
        wrong += [f"{name} {option}" for option in sorted(given - known) if name != "standin"]
    assert wrong == []
