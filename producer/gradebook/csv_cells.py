"""Cells of the CSV files we write: what students and models wrote is no formula in any spreadsheet that reads them.

A reader may split at semicolons or tabs whatever the file was meant to use, so every part of a text is looked at, not
only its beginning: where one would begin a formula, an apostrophe is put before the sign, and one more where
there are apostrophes already. Numbers stay numbers. Taking one apostrophe away before each such sign gives the text
back. A NUL, which ends the file for some readers, becomes its visible symbol.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SEPARATORS = r";,|\t\r\n\v\f\x85\u2028\u2029"
"""Where some reader may begin a cell."""
_PART = re.compile(rf"(?P<before>(?:^|[{_SEPARATORS}])[\s\"]*)(?P<start>'*[=+\-@\uff1d\uff0b\uff0d\uff20])?")
"""The beginning of a part: what a reader may pass over, and the sign, in full width too, that begins a formula. It
matches without a sign as well, so that a text of a million blank lines is gone through once.
"""
_REST_OF_A_NUMBER = re.compile(rf"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[\s\")\]}}]*(?:$|[{_SEPARATORS}])")
_NUL_SYMBOL = "\u2400"


def csv_line(values: Iterable[object]) -> str:
    """One line of a CSV file, each value in a cell that nothing computes."""
    buffer = io.StringIO()
    csv.writer(buffer).writerow(map(csv_cell, values))
    return buffer.getvalue()


def csv_cell(value: object) -> str:
    """A value as a cell: nothing for null, lists of plain values joined by semicolons, what is nested as JSON."""
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        value = "; ".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _PART.sub(_quoted, text.replace("\x00", _NUL_SYMBOL))


def _quoted(part: re.Match[str]) -> str:
    is_number = part["start"] == "-" and _REST_OF_A_NUMBER.match(part.string, part.end()) is not None
    return part[0] if part["start"] is None or is_number else f"{part['before']}'{part['start']}"
