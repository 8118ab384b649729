"""Bad input and missing services: one clear line, the right status, nothing enqueued, no traceback."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from producer.cli.commands import cli
from workers.store import Store
from workers.store.overviews import list_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a good input and a good template, for tests to spoil."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADEQUEUE_STANDIN_URL", "http://127.0.0.1:9/v1")
    Path("prompt.md").write_text("Grade {code}\n")
    write_rows([{"id": "a", "code": "print(1)"}, {"id": "b", "code": "print(2)"}])
    return tmp_path


def write_rows(rows: list[dict[str, Any]], name: str = "in.jsonl") -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--data-dir", "data"])


def run(*arguments: str, source: str = "in.jsonl") -> Result:
    return invoke("run", source, "--template", "prompt.md", "--schema", "feedback", "--offline", *arguments)


def unsaid(result: Result, *words: str, status: int = 2) -> list[str]:
    """Which of these words the refusal does not say; it is one sentence, and nothing was enqueued."""
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert enqueued() == []
    said = " ".join(result.output.split())
    return [word for word in words if word not in said]


def enqueued() -> list[str]:
    file = Path("data/gradequeue.db")
    if not file.exists():
        return []
    store = Store.open(f"sqlite:///{file.absolute()}")
    store.migrate()
    with store.snapshot() as connection:
        names = list_batches(connection)
    store.close()
    return names


@pytest.mark.usefixtures("folder")
class TestInput:
    def test_a_malformed_line_is_named_by_file_and_line(self):
        Path("in.jsonl").write_text('{"id": "a", "code": "x"}\n{"id": "b", "code": \n')
        assert not unsaid(run(), "in.jsonl line 2")

    def test_a_missing_column_is_named_with_those_that_exist(self):
        write_rows([{"id": "a", "text": "x"}])
        assert not unsaid(run(), "code", "text", "in.jsonl line 1")

    @pytest.mark.parametrize("template", ["{id}", "Grade {{code}}", "Grade { code } {id}", "<code>", "{cod}", "Grade."])
    @pytest.mark.parametrize("command", ["run", "enqueue", "estimate"])
    def test_a_template_without_the_work_names_its_file_and_what_to_write(self, command: str, template: str):
        Path("prompt.md").write_text(template)
        arguments = ("in.jsonl", "--template", "prompt.md", "--schema", "feedback", "--offline")
        assert not unsaid(invoke(command, *arguments), "in.jsonl line 1: prompt.md", "code")

    @pytest.mark.parametrize("options", [(), ("--encoding", "cp1252")])
    def test_a_file_of_two_encodings_is_named_with_its_lines(self, options: tuple[str, ...]):
        rows = ["id,code\n", 'a,"größe"\n', 'b,"hübsch"\n']
        content = b"".join(row.encode("latin-1" if row.startswith("b") else "utf-8") for row in rows)
        Path("in.csv").write_bytes(content)
        assert not unsaid(
            run(*options, source="in.csv"), "in.csv: the file mixes encodings: line 3 is not UTF-8, line 2 is"
        )

    def test_an_unclear_encoding_is_refused_with_the_option_that_names_it(self):
        Path("in.csv").write_bytes("id,code\na,größe\n".encode("mac_roman"))
        assert not unsaid(run(source="in.csv"), "in.csv: line 2 is not UTF-8", "--encoding")
        assert not unsaid(run("--encoding", "klingon", source="in.csv"), "--encoding: there is no encoding 'klingon'")

    def test_a_row_that_names_code_to_import_is_refused(self):
        Path("evil.py").write_text("raise SystemExit('it ran')")
        write_rows([{"id": "a", "code": "x", "schema": "evil:Model"}])
        assert not unsaid(run(), "in.jsonl line 1", "a row cannot bring code", "--schema")

    def test_an_unknown_schema_is_told_the_known_ones(self):
        result = invoke("run", "in.jsonl", "--template", "prompt.md", "--schema", "fedback", "--offline")
        assert not unsaid(result, "fedback", "feedback", "error_report")

    def test_a_row_with_an_unknown_schema_is_named(self):
        write_rows([{"id": "a", "code": "x", "schema": "nonsense"}])
        assert not unsaid(run(), "in.jsonl line 1", "nonsense")

    def test_a_schema_module_that_does_not_exist(self):
        result = invoke("run", "in.jsonl", "--template", "prompt.md", "--schema", "nowhere:Model", "--offline")
        assert not unsaid(result, "nowhere")

    def test_a_schema_that_strict_mode_cannot_hold_names_the_place(self, monkeypatch: pytest.MonkeyPatch):
        Path("loose.py").write_text(
            "from typing import Any\nfrom pydantic import BaseModel\n"
            "class Loose(BaseModel):\n    extra: dict[str, Any]\n"
        )
        monkeypatch.syspath_prepend(".")
        result = invoke("run", "in.jsonl", "--template", "prompt.md", "--schema", "loose:Loose", "--offline")
        assert not unsaid(result, "extra")

    def test_an_unknown_template_field_is_told_its_line(self):
        Path("prompt.md").write_text("Grade\n{cod}\n")
        assert not unsaid(run(), "cod", "code")

    def test_a_template_without_a_field(self):
        Path("prompt.md").write_text("Grade it\n")
        assert not unsaid(run(), "prompt.md")

    def test_a_template_that_does_not_exist(self):
        assert not unsaid(
            invoke("run", "in.jsonl", "--template", "none.md", "--schema", "feedback", "--offline"), "none.md"
        )

    def test_a_doubled_id_names_both_lines(self):
        write_rows([{"id": "a", "code": "x"}, {"id": "b", "code": "y"}, {"id": "a", "code": "z"}])
        assert not unsaid(run(), "line 1", "line 3", "'a'")

    def test_an_empty_prompt(self):
        write_rows([{"id": "a", "prompt": "  "}])
        assert not unsaid(invoke("run", "in.jsonl", "--schema", "feedback", "--offline"), "in.jsonl line 1", "empty")

    def test_an_oversized_prompt(self):
        write_rows([{"id": "a", "code": "x" * (4 * 2**20)}])
        assert not unsaid(run(), "in.jsonl line 1", "4 MiB")

    def test_an_empty_folder(self):
        Path("empty").mkdir()
        assert not unsaid(run(source="empty"), "empty")

    def test_an_input_that_does_not_exist(self):
        assert not unsaid(run(source="none.jsonl"), "none.jsonl")

    def test_a_binary_file_in_a_folder(self):
        Path("essays").mkdir()
        Path("essays/a.txt").write_bytes(b"\x7fELF\x00\x00\x01")
        Path("prompt.md").write_text("Grade {submission}")
        assert not unsaid(run("--strict", source="essays"), "a.txt")

    def test_parameters_out_of_range(self):
        assert not unsaid(run("--temperature", "3"), "temperature")
        assert not unsaid(run("--deadline", "soon"), "--deadline")

    def test_an_output_that_cannot_be_written_is_found_before_the_work(self):
        assert not unsaid(run("--out", "nowhere/grades.jsonl"), "--out nowhere/grades.jsonl")

    def test_several_problems_are_told_together(self):
        write_rows([{"id": "a"}, {"id": "b", "code": "x", "temperature": "hot"}, {"code": "x"}])
        assert not unsaid(run(), "line 1", "line 2", "line 3")

    def test_a_model_is_asked_for(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        assert not unsaid(invoke("run", "in.jsonl", "--template", "prompt.md", "--schema", "feedback"), "model")

    def test_a_rubric_that_is_none(self):
        Path("rubric.json").write_text('{"r": {"rubric_id": "r"}}')
        assert not unsaid(
            invoke("run", "in.jsonl", "--template", "prompt.md", "--rubric", "rubric.json", "--offline"), "rubric.json"
        )


@pytest.mark.usefixtures("folder")
class TestServices:
    def test_a_missing_key(self):
        result = invoke("run", "in.jsonl", "--template", "prompt.md", "--schema", "feedback", "--model", "gpt-4o")
        assert not unsaid(result, "OPENAI_API_KEY environment variable is not set", "--offline")

    def test_a_broker_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
        assert not unsaid(run(), "broker", status=3)

    def test_a_redis_url_that_is_none(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("REDIS_URL", "localhost")
        assert not unsaid(run(), "REDIS_URL", status=3)

    def test_a_store_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:9/none")
        assert not unsaid(run(), "store", status=3)

    def test_a_database_url_that_is_none(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("DATABASE_URL", "mysql:what")
        assert not unsaid(run(), "DATABASE_URL", status=3)

    def test_a_setting_that_cannot_be_used(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("GRADEQUEUE_CALL_TIMEOUT", "soon")
        assert not unsaid(run(), "GRADEQUEUE_CALL_TIMEOUT")

    def test_a_data_folder_that_cannot_be_written(self):
        arguments = ["run", "in.jsonl", "--template", "prompt.md", "--schema", "feedback", "--offline"]
        assert not unsaid(CliRunner().invoke(cli, [*arguments, "--data-dir", "/proc/data"]), "data folder", status=3)

    def test_a_batch_that_does_not_exist(self):
        assert (
            invoke("enqueue", "in.jsonl", "--template", "prompt.md", "--schema", "feedback", "--offline").exit_code == 0
        )
        for command in ("status", "results", "failures", "retry", "cancel"):
            result = invoke(command, "nothing")
            assert result.exit_code == 2, result.output
            assert "no batch 'nothing'" in result.output

    def test_another_prompt_under_a_known_id_names_it(self):
        order = ("enqueue", "in.jsonl", "--template", "prompt.md", "--schema", "feedback", "--offline", "--name", "x")
        assert invoke(*order).exit_code == 0
        write_rows([{"id": "a", "code": "print(1)"}, {"id": "b", "code": "changed"}])
        result = invoke(*order)
        assert result.exit_code == 2
        assert "and b handed in other work since; --update" in result.output
        assert "--name" in result.output


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.usefixtures("folder")
def test_a_full_disk_is_one_clear_line(tiny_disk: Path):
    write_rows([{"id": str(number), "code": "x" * 50_000} for number in range(100)])
    arguments = ["enqueue", "in.jsonl", "--template", "prompt.md", "--schema", "feedback", "--offline"]
    result = CliRunner().invoke(cli, [*arguments, "--data-dir", str(tiny_disk)])
    assert result.exit_code == 3, result.output
    assert "full" in result.output
    assert "Traceback" not in result.output
