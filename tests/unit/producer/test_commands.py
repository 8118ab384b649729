"""The command line as a list: what `--help` shows, and what it costs to show it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from producer.cli.commands import COMMANDS, SECTIONS, cli
from producer.cli.options import CommandWithExamples
from workers.store import Store

REPOSITORY = Path(__file__).parents[3]
FOLDER = REPOSITORY / "producer" / "cli"
HEAVY = {"aiohttp", "alembic", "celery", "httpx2", "kombu", "openai", "pydantic", "pydantic_settings", "redis", "rich"}
HEAVY |= {"sqlalchemy", "streamlit", "structlog"}
RUN = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
sys.argv = ["gradequeue", *sys.argv[1:]]
from producer.cli.main import main
main()
"""
with_examples = [name for name in COMMANDS if name != "standin"]


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(cli, [*arguments, "--help"], terminal_width=100)
    assert result.exit_code == 0, result.output
    return result.output


def run(*arguments: str, **environment: str) -> tuple[str, set[str]]:
    """What the command prints, and the top-level names of all modules it has loaded by its end."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = json.loads(done.stderr.splitlines()[-1])
    return done.stdout, {name.split(".")[0] for name in loaded}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], *([name, "--help"] for name in with_examples)])
def test_help_and_version_load_nothing_heavy(arguments: list[str]):
    output, loaded = run(*arguments)

    assert "gradequeue" in output
    assert loaded & HEAVY == set()


def test_status_of_a_store_that_was_never_used_loads_no_database_library(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    store = Store.open(f"sqlite:///{folder}/gradequeue.db")
    store.migrate()
    store.close()

    output, loaded = run("status", "--data-dir", str(folder))

    assert output == ""
    assert loaded & HEAVY <= {"pydantic", "pydantic_settings", "rich"}


@pytest.mark.parametrize(
    ("words", "completed"),
    [("gradequeue ", set(COMMANDS)),
     ("gradequeue re", {"results", "retry", "regrade", "rescore", "resume", "review", "release"}),
     ("gradequeue run --t", {"--template", "--temperature", "--twins"}),
     ("gradequeue retry --kind trunc", {"truncated"})],
)  # fmt: skip
def test_shell_completion_loads_nothing_heavy(words: str, completed: set[str]):
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_GRADEQUEUE_COMPLETE": "bash_complete"}
    output, loaded = run(**environment)

    assert {line.split(",")[1] for line in output.splitlines()} == completed
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_lies_in_the_file_of_its_name_and_begins_its_help_as_the_list_does(name: str):
    command = getattr(import_module(f"producer.cli.{name}"), name)

    assert isinstance(command, click.Command)
    assert command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name]


def test_every_command_that_a_file_declares_is_listed():
    declared = {
        function.name
        for file in FOLDER.glob("*.py")
        for function in ast.parse(file.read_text()).body
        if isinstance(function, ast.FunctionDef)
        and any("command" in ast.unparse(decorator) for decorator in function.decorator_list)
    }
    assert declared == set(COMMANDS)


def test_the_list_shows_every_command_in_its_section_on_one_line():
    lines = shown().splitlines()
    for section, commands in SECTIONS.items():
        place = lines.index(f"{section}:")
        below = lines[place + 1 : place + 1 + len(commands)]
        assert [line.split()[0] for line in below] == list(commands)
        assert [line.strip().split(maxsplit=1)[1] for line in below] == list(commands.values())


@pytest.mark.parametrize("name", with_examples)
def test_examples_are_on_lines_of_their_own(name: str):
    output = shown(name)
    command = cli.get_command(click.Context(cli), name)

    assert isinstance(command, CommandWithExamples)
    assert command.examples
    for example in command.examples:
        assert f"\n  {example}\n" in output
        assert example.startswith("gradequeue ")
    assert "\\b" not in output
    assert "\b" not in output


@pytest.mark.parametrize("name", with_examples)
def test_every_option_is_explained(name: str):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    unexplained = [each.name for each in command.params if isinstance(each, click.Option) and not each.help]
    assert unexplained == []


def test_a_command_that_does_not_exist_is_wrong_use():
    result = CliRunner().invoke(cli, ["purgee"])
    assert result.exit_code == 2
    assert "No such command 'purgee'" in result.output
