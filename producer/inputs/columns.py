"""What a cell or a JSON value means in a column that gradequeue knows.

A spreadsheet knows texts only, so each reader takes the text and the JSON value alike. `0,2` is 0.2, as half the
world writes it; `1,500` could be two numbers and is refused.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

METADATA = "metadata"
METADATA_PREFIX = "metadata."

_SECONDS_PER_UNIT = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:[.,]\d+)?)\s*([smhd]?)", re.IGNORECASE | re.ASCII)
_MAX_SECONDS = 3650 * 86_400
_MAX_WHOLE_NUMBER = 2**31 - 1
"""What an integer column of every store holds."""
_MAYBE_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
WRITTEN_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL character as JSON writes it, which a database cannot store; not a literal backslash before it."""
_COLUMNS_SHOWN = 20


def given(fields: Mapping[str, object], column: str) -> object | None:
    """The column's value, or None when it is absent, null or an empty cell."""
    value = fields.get(column)
    return None if isinstance(value, str) and not value.strip() else value


def duration_seconds(value: object) -> float:
    """Seconds of `90`, `'90s'`, `'15m'`, `'2h'` or `'1d'`."""
    match = _DURATION.fullmatch(_text(value))
    if match is None:
        raise InvalidInput("expects seconds, or a time such as 90s, 15m, 2h or 1d")
    seconds = _finite(match[1]) * _SECONDS_PER_UNIT[match[2].lower()]
    if seconds > _MAX_SECONDS:
        raise InvalidInput("expects a time below ten years")
    return seconds


def number(value: object) -> float:
    """A finite number."""
    try:
        return _finite(_text(value))
    except ValueError:
        raise InvalidInput("expects a number") from None


def whole_number(value: object) -> int:
    """A whole number; spreadsheets may write it as `3.0`."""
    found = number(value)
    if not found.is_integer() or abs(found) > _MAX_WHOLE_NUMBER:
        raise InvalidInput(f"expects a whole number up to {_MAX_WHOLE_NUMBER}")
    return int(found)


def truth(value: object) -> bool:
    """Read true, false, yes, no, 1 or 0, in any case."""
    found = _TRUTHS.get(_text(value).casefold())
    if found is None:
        raise InvalidInput("expects true or false")
    return found


def text(value: object) -> str:
    """A text, and nothing else."""
    if not isinstance(value, str):
        raise InvalidInput("expects a text")
    return value.strip()


def metadata(fields: Mapping[str, object]) -> dict[str, object]:
    """The object under `metadata`, with the columns `metadata.NAME`; it comes back untouched."""
    found = dict(_metadata_object(given(fields, METADATA)))
    for column in fields:
        if column.startswith(METADATA_PREFIX) and given(fields, column) is not None:
            name = column.removeprefix(METADATA_PREFIX)
            if name in found:
                raise InvalidInput(f"{name!r} is both there and in {column!r}; keep one")
            found[name] = fields[column]
    _refuse_unstorable(found)
    return found


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest known name whatever its case, or nothing."""
    by_folded_name = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(wrong.casefold(), by_folded_name, n=1)
    return f"; did you mean {by_folded_name[close[0]]!r}?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Names in quotes, sorted; the first twenty of many."""
    ordered = sorted(names)
    shown = ", ".join(repr(name) for name in ordered[:_COLUMNS_SHOWN])
    return shown + (f" and {len(ordered) - _COLUMNS_SHOWN} more" if len(ordered) > _COLUMNS_SHOWN else "")


def _text(value: object) -> str:
    # str of a list or an object reads as no number, no duration and no truth, so those are refused as well.
    return str(value).strip()


def _finite(written: str) -> float:
    if "_" in written or _MAYBE_THOUSANDS.fullmatch(written):
        raise InvalidInput("expects a number without a mark between thousands")
    found = float(written if "." in written else written.replace(",", ".", 1))
    if not math.isfinite(found):
        raise InvalidInput("expects a finite number")
    return found


def _metadata_object(value: object | None) -> Mapping[str, object]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidInput('expects a JSON object, such as {"group": "A"}') from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput('expects a JSON object, such as {"group": "A"}')
    return value


def _refuse_unstorable(found: Mapping[str, object]) -> None:
    try:
        written = json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):  # a lone surrogate (UnicodeEncodeError), NaN, or nesting without end
        raise InvalidInput("holds a value that cannot be stored (NaN, or half of a character)") from None
    if WRITTEN_NUL.search(written):
        raise InvalidInput("holds a NUL character, which a database cannot store")
