"""What a student or a model wrote is no formula in any reader of our CSV files, and comes back as it was."""

from __future__ import annotations

import csv
import io
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.gradebook.csv_cells import csv_cell, csv_line

texts = st.text(st.sampled_from("=+-@'\";,|\t\n\r 1.5ex") | st.characters(exclude_categories=["Cs"]), max_size=30)
BEGINS_A_FORMULA = re.compile(r"[\s\"]*[=+@\uff1d\uff0b\uff0d\uff20-]")
NUMBER = re.compile(r"[\s\"]*-\d+(\.\d+)?([eE][+-]?\d+)?[\s\")\]}]*")


def restored(cell: str) -> str:
    """What the page on results says: one apostrophe less before a sign that would begin a formula."""
    return re.sub(r"((?:^|[;,|\t\r\n\v\f\x85\u2028\u2029])[\s\"]*'*)'([=+\-@\uff1d\uff0b\uff0d\uff20])", r"\1\2", cell)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("Good;=SUM(A1:A9);x", "Good;'=SUM(A1:A9);x"),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("@x", "'@x"),
        ("\t=x", "\t'=x"),
        ("a\n-x", "a\n'-x"),
        ('x;"=1"', 'x;"\'=1"'),
        ("-2+3", "'-2+3"),
        ("'=x", "''=x"),
        ("'-3", "''-3"),
        ("-3.5", "-3.5"),
        ("-1e5", "-1e5"),
        ("up -3, down; -4.5", "up -3, down; -4.5"),
        ("a-b = c", "a-b = c"),
        ("a\x00b", "a\u2400b"),
        (-3.5, "-3.5"),
        (True, "true"),
        (None, ""),
        ({}, ""),
        (["=a", -1], "'=a; -1"),
        ([{"k": -1}], '[{"k": -1}]'),
    ],
)
def test_a_cell_is_what_a_reader_shows_and_never_computes(text: object, cell: str):
    assert csv_cell(text) == cell


@given(texts)
def test_whatever_a_reader_splits_at_no_part_begins_a_formula(text: str):
    written = csv_line([text, text])
    for delimiter in ",;\t|":
        for row in csv.reader(io.StringIO(written, newline=""), delimiter=delimiter):
            for cell in row:
                assert not BEGINS_A_FORMULA.match(cell) or NUMBER.fullmatch(cell.split(",")[0])


@given(texts)
def test_the_text_comes_back_when_the_apostrophes_are_taken_away(text: str):
    assert restored(csv_cell(text)) == text.replace("\x00", "\u2400")


@given(st.lists(texts, min_size=1))
def test_a_line_is_read_back_as_its_cells_and_holds_no_nul(values: list[str]):
    written = csv_line(["id", *values])
    assert "\x00" not in written
    (row,) = csv.reader(io.StringIO(written, newline=""))
    assert row == ["id", *map(csv_cell, values)]


@pytest.mark.parametrize("run", ["\n", " ;", '"', "'", ";-1 ", "\n-"])
def test_a_long_text_costs_time_in_proportion_to_its_length(run: str):
    def steps(count: int) -> int:
        began = time.process_time_ns()
        csv_cell(run * count + "x")
        return time.process_time_ns() - began

    steps(1000)
    assert steps(200_000) < 400 * max(steps(4000), 100_000), "fifty times the text, and no square of it"
