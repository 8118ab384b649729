"""JSON lines as an input: what becomes an item, and which sentence a mistake gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.inputs import InputLimits, read_items
from producer.inputs.reading import scan_items
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


def _file(folder: Path, content: bytes | str, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _problem(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        list(read_items(path))
    return str(caught.value)


def test_each_line_becomes_an_item_that_knows_its_place(tmp_path: Path):
    path = _file(tmp_path, '{"id": "a", "prompt": "x"}\n\n  \n{"id": "b", "code": "y"}\r\n')
    items = list(read_items(path))
    assert [(item.id, item.where) for item in items] == [("a", "rows.jsonl line 1"), ("b", "rows.jsonl line 4")]
    assert items[1].fields == {"id": "b", "code": "y"}


def test_a_byte_order_mark_and_a_missing_last_line_end_do_no_harm(tmp_path: Path):
    path = _file(tmp_path, b'\xef\xbb\xbf{"id": "a", "prompt": "\xc3\xa9"}')
    assert [item.fields["prompt"] for item in read_items(path)] == ["é"]


def test_a_numeric_id_becomes_its_text(tmp_path: Path):
    path = _file(tmp_path, '{"id": 17}\n{"id": 2.5}\n')
    assert [(item.id, item.fields["id"]) for item in read_items(path)] == [("17", "17"), ("2.5", "2.5")]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"id": 1, "prompt": }', "not valid JSON (Expecting value at column 21)"),
        ("[1, 2]", "each line must be one JSON object"),
        ('{"prompt": "x"}', "no 'id'"),
        ('{"id": ""}', "the id is empty"),
        ('{"id": "  "}', "the id is empty"),
        ('{"id": null}', "a text or a number"),
        ('{"id": true}', "a text or a number"),
        ('{"id": ["a"]}', "a text or a number"),
        ('{"id": "a\\u0000b"}', "control character"),
        ('{"id": "a\\nb"}', "control character"),
        ('{"id": "\\ud800"}', "lone surrogate"),
        (f'{{"id": "{"x" * 256}"}}', "longer than 255"),
        ('{"id": 1, "id": 2}', "the same key appears twice"),
        ('{"id": NaN}', "NaN and Infinity are no values"),
        ('{"id": ' + "9" * 5000 + "}", "too many digits"),
        ('{"id": 1, "x": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_with_what_to_do(tmp_path: Path, line: str, sentence: str):
    problem = _problem(_file(tmp_path, '{"id": "fine"}\n' + line + "\n"))
    assert problem.startswith("rows.jsonl line 2: ")
    assert sentence in problem


def test_a_line_in_another_encoding_is_refused(tmp_path: Path):
    assert "line 1: the line is not UTF-8" in _problem(_file(tmp_path, b'{"id": "Ren\xe9"}\n'))


def test_an_empty_file_is_refused(tmp_path: Path):
    assert "rows.jsonl: the file is empty" in _problem(_file(tmp_path, "\n \n"))


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path):
    path = _file(tmp_path, '{"id": "a", "prompt": "' + "x" * 1000)
    found = list(scan_items(path, limits=InputLimits(max_row_bytes=100)))
    assert [str(problem) for problem in found] == ["rows.jsonl line 1: the line is longer than 100 bytes"]


def test_scanning_goes_on_behind_a_bad_line(tmp_path: Path):
    path = _file(tmp_path, '{"id": "a"}\nnonsense\n{"id": "b"}\n')
    kinds = [type(found).__name__ for found in scan_items(path)]
    assert kinds == ["InputItem", "InvalidInput", "InputItem"]


def test_a_file_of_any_name_that_begins_with_a_brace_is_json_lines(tmp_path: Path):
    path = _file(tmp_path, b'\xef\xbb\xbf\n{"id": "a"}\n', name="rows.txt")
    assert [item.id for item in read_items(path)] == ["a"]


def test_a_missing_file_is_one_sentence(tmp_path: Path):
    assert _problem(tmp_path / "absent.jsonl") == "absent.jsonl: cannot be read: No such file or directory"


def test_a_link_that_leads_to_itself_is_one_sentence(tmp_path: Path):
    path = tmp_path / "loop.jsonl"
    path.symlink_to(path)
    assert _problem(path).startswith("loop.jsonl: cannot be read: ")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path):
    import os

    os.mkfifo(tmp_path / "rows.jsonl")
    assert "not a regular file" in _problem(tmp_path / "rows.jsonl")
