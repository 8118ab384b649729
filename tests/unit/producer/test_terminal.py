"""What others wrote reaches a terminal, a log and the page as text: it is shown, and does nothing."""

from __future__ import annotations

import ast
import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from rich.table import Table
from rich.text import Text

from producer.cli.commands import cli
from producer.client import JobClient
from producer.page.plain_text import plain
from producer.terminal.console import SafeConsole, write_data
from producer.terminal.display import ProgressDisplay
from tests.store.steps import claim, failure, persist, publish
from workers.contract.errors import InvalidInput
from workers.contract.job import JobSpec
from workers.contract.outcome import Failure, FailureKind
from workers.contract.printable import printable
from workers.contract.registry import builtin_registry
from workers.log import set_up_logs
from workers.settings import load_settings
from workers.store.feed import Feed

if TYPE_CHECKING:
    from workers.store import Store

PRODUCER = Path(__file__).parents[3] / "producer"
CLEAR = "\x1b[2J\x1b]0;title\x07"
HOSTILE = ["week[/3]", "[red]x[/red]", "[link=http://x]a", ":smile:", CLEAR, "\x9b31m", "a\rb", "\u202ecba", "\ud800"]
ACTING = ["\x1b[2J", "\x07", "\x9b", "\r", "\u202e", "\ud800"]


def console(**options: Any) -> tuple[SafeConsole, io.StringIO]:
    written = io.StringIO()
    return SafeConsole(file=written, width=200, **options), written


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", ["a terminal", "a file"])
def test_a_string_is_printed_as_it_is_wherever_it_stands(text: str, kind: str):
    target, written = console(force_terminal=kind == "a terminal", color_system=None)
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    table.add_row(Text(text))
    target.print(text)
    target.print(table, style="red")

    for acting in ACTING:
        assert acting not in written.getvalue()
    assert written.getvalue().count(printable(text)) >= 4, (
        "line, title, column and cell; Rich itself drops some of a `Text`"
    )


@pytest.mark.parametrize("text", [*HOSTILE, "a\nb"])
def test_a_log_line_stays_one_line_of_text(text: str):
    written = io.StringIO()
    logger = logging.getLogger(f"{__name__}.{text!r}")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(written))
    set_up_logs(logger, log_format="console")
    try:
        {}[text]
    except LookupError:
        logger.warning("reason=%s", text)
        logger.exception("failed")

    assert written.getvalue().startswith(f"reason={printable(text)}\n")
    for acting in ACTING:
        assert acting not in written.getvalue()


def test_text_in_every_script_comes_back_as_it_is():
    for text in ("Zoë", "学生", "علی‌رضا", "नमस्ते", "👩‍🎓", "a b", ""):
        assert printable(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_the_page_escapes_controls_as_it_escapes_markdown(text: str):
    for acting in ACTING:
        assert acting not in plain(text)


def test_data_is_exact_for_a_program_and_printable_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    write_data(f'"{CLEAR}"\r\n')
    assert capsys.readouterr().out == f'"{CLEAR}"\r\n'

    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    write_data(f'"{CLEAR}"\r\n')
    assert capsys.readouterr().out == f'"{printable(CLEAR)}"\n'


def run(folder: Path, *arguments: str) -> str:
    result = CliRunner().invoke(cli, [*arguments, "--data-dir", str(folder)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def test_status_and_failures_show_names_with_markup_and_escapes(tmp_path: Path):
    tmp_path.chmod(0o700)
    database = f"sqlite:///{tmp_path / 'gradequeue.db'}"
    client = JobClient.connect(load_settings(database_url=database, offline=True, data_dir=tmp_path))
    name, item = "week[/3]", "ada[/]"
    client.enqueue([JobSpec(id=item, prompt="p", schema="feedback", model="m[/x]")], name=name)
    fail_all(client, f"the model says [/b] {CLEAR}")
    client.close()

    shown = run(tmp_path, "status") + run(tmp_path, "status", name) + run(tmp_path, "failures", name)

    assert shown.count("week[/3]") >= 3
    assert "ada[/]" in shown
    assert "\x1b" not in shown


def fail_all(client: JobClient, message: str) -> None:
    [job_id] = publish(client.store, feed=Feed("bulk", "standin"))
    ending = failure(claim(client.store, [job_id])[job_id])
    assert persist(client.store, ending=replace(ending, outcome=Failure(kind=FailureKind.REFUSED, message=message)))


@pytest.mark.parametrize("name", ["a\nb", CLEAR, "\u202e"])
def test_a_batch_name_that_acts_is_refused(store: Store, name: str):
    client = JobClient(store=store, publisher=None, registry=builtin_registry(), provider="standin")
    with pytest.raises(InvalidInput, match="control characters"):
        client.enqueue([JobSpec(id="a", prompt="p", schema="feedback", model="m")], name=name)


def test_nothing_in_the_producer_prints_past_the_safe_console():
    """`Console` is made in `terminal` alone, and `click.echo` writes JSON alone, whose text `json.dumps` escapes."""
    found = []
    for file in PRODUCER.rglob("*.py"):
        if file.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            first = ast.unparse(node.args[0]) if node.args else ""
            if called in {"Console", "print", "rich.print", "click.secho"} or (
                called == "click.echo" and not first.startswith("json.dumps(")
            ):
                found.append(f"{file.name}:{node.lineno}: {called}")
    assert found == []


def test_the_display_shows_a_note_with_markup(store: Store):
    client = JobClient(store=store, publisher=None, registry=builtin_registry(), provider="standin")
    client.enqueue([JobSpec(id="a", prompt="p", schema="feedback", model="m")], name="b")
    target, written = console()
    with ProgressDisplay(target) as display:
        display.show(client.batch("b").progress(), note=f"waiting [/x] {CLEAR}")

    assert "waiting [/x] \\x1b[2J" in written.getvalue()
