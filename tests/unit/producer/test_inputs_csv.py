"""CSV as an input, in the forms that spreadsheets write."""

from __future__ import annotations

import codecs
import csv
import io
from typing import TYPE_CHECKING

import pytest

from producer.inputs import InputLimits, read_items
from producer.inputs.reading import scan_items
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from producer.inputs import InputItem

CODE = 'int a[] = {1, 2}; // "ü"\nreturn a;\t|'


def _file(folder: Path, content: bytes | str, name: str = "students.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _read(folder: Path, content: bytes | str) -> list[InputItem]:
    return list(read_items(_file(folder, content)))


def _problem(folder: Path, content: bytes | str) -> str:
    with pytest.raises(InvalidInput) as caught:
        _read(folder, content)
    return str(caught.value)


def _written(delimiter: str) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([["name", "id", "code"], ["Zoë", "s1", CODE], ["", "s2", "pass"]])
    return text.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_every_delimiter_and_encoding_of_a_spreadsheet_gives_the_same_rows(
    tmp_path: Path, delimiter: str, encoding: str
):
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    items = _read(tmp_path, mark + _written(delimiter).encode(encoding))
    assert [item.fields for item in items] == [
        {"name": "Zoë", "id": "s1", "code": CODE},
        {"name": "", "id": "s2", "code": "pass"},
    ]


def test_a_row_is_found_at_the_line_it_begins_on(tmp_path: Path):
    items = _read(tmp_path, 'id,code\na,"1\n2\n3"\n\nb,4\n')
    assert [item.where for item in items] == ["students.csv line 2", "students.csv line 6"]


@pytest.mark.parametrize("first", ["sep=#\r\n", '"sep=#"\r\n', "SEP=#\n"])
def test_a_declared_delimiter_wins_and_its_line_counts(tmp_path: Path, first: str):
    (item,) = _read(tmp_path, first + "id#code\r\na#x;y,z\r\n")
    assert (item.fields, item.where) == ({"id": "a", "code": "x;y,z"}, "students.csv line 3")


def test_the_delimiter_is_the_one_that_shows_an_id_however_often_others_occur(tmp_path: Path):
    (item,) = _read(tmp_path, "id;a, b, c, d\n1;x, y\n")
    assert item.fields == {"id": "1", "a, b, c, d": "x, y"}


def test_rows_and_columns_without_content_are_passed_over(tmp_path: Path):
    items = _read(tmp_path, ",,\n id ,code,,\na,x,,\n,,,\n \n")
    assert [item.fields for item in items] == [{"id": "a", "code": "x"}]


def test_cells_left_out_at_the_end_are_empty(tmp_path: Path):
    (item,) = _read(tmp_path, "id,code,note\na,x\n")
    assert item.fields == {"id": "a", "code": "x", "note": ""}


def test_a_cell_above_the_csv_modules_own_limit_is_read(tmp_path: Path):
    (item,) = _read(tmp_path, "id,code\na," + "x" * 200_000 + "\n")
    assert len(str(item.fields["code"])) == 200_000


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "students.csv: the file is empty"),
        ("id,code\n", "students.csv: the file has a header but no rows"),
        ("IDs,code\na,x\n", "line 1: the header has no column 'id'; did you mean 'IDs'?"),
        ("Student ID,Matrikelnummer\na,x\n", "line 1: the columns 'Matrikelnummer', 'Student ID' could each name the"),
        ("name,code\na,x\n", "line 1: the header has no column 'id'"),
        ("id,code,code\na,x,y\n", "line 1: the header names the column 'code' twice"),
        (
            "id,code\na,f(x, y)\n",
            "line 2: the row has 3 cells, the header 2; put a cell that holds a delimiter in quotes",
        ),
        ("id,code\n,x\n", "line 2: the id is empty"),
        ('id,code\na,"x\n', "line 2: the row cannot be read (unexpected end of data); is a quote missing?"),
        ('id,code\na,"x"y\n', "line 2: the row cannot be read"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_to_do(tmp_path: Path, content: str, sentence: str):
    assert sentence in _problem(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK\x03\x04rest", "a zip archive or an Office document"),
        (b"%PDF-1.7", "a PDF"),
        (b"id,code\na,\x00\n", "a binary file"),
        (b"id,code\na,\xff\x01\n", "a binary file"),
        (b"id,code\na,\x81\n", "is not UTF-8, and its encoding is not certain"),
        (b"\xff\xfei\x00d\x00,\x00\n", "not text in utf-16"),
        (b"\xef\xbb\xbfid,code\na,\xe9\n", "not text in utf-8"),
    ],
)
def test_what_is_no_text_is_refused_by_name(tmp_path: Path, content: bytes, sentence: str):
    problem = _problem(tmp_path, content)
    assert problem.startswith("students.csv: ")
    assert sentence in problem
    assert "save it as" in problem


def test_a_quote_that_never_closes_is_refused_before_it_fills_the_memory(tmp_path: Path):
    path = _file(tmp_path, 'id,code\na,"' + "x\n" * 200_000)
    found = list(scan_items(path, limits=InputLimits(max_row_bytes=1000)))
    assert len(found) == 1
    assert str(found[0]).startswith("students.csv line 2: the row cannot be read")
