"""What a peer said, made to fit its column: a grade is never lost for a request id that is too long.

The one place that knows how, and it goes by the types that the tables declare. Text loses what PostgreSQL cannot hold
(NUL, lone surrogates: U+FFFD stands for each) and is cut to its column's length; numbers are held within the column's
range; what is no finite number becomes NULL. A result is never cut or changed: a NUL inside it is stored as the JSON
escape that it came as.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Double, Integer, String

from workers.store.tables import attempts, flags, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column, Table

    from workers.contract.outcome import Success

LARGEST_INTEGER = 2**31 - 1
"""PostgreSQL's INTEGER."""
REPLACEMENT = "\ufffd"
DEEPEST = 100
"""Levels of JSON metadata that are kept: what nests deeper is nobody's honest answer."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def fitted_columns(table: Table, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Rows by column, whose every value its column can hold; JSON as the text that is stored."""
    return {name: _fitted_column(table, name, values) for name, values in columns.items()}


def _fitted_column(table: Table, name: str, values: Sequence[Any]) -> list[Any]:
    fit, kind, first = _fits(table.name)[name], table.c[name].type, values[0]
    if isinstance(kind, JSON):  # equal ones may be written differently
        return [None if value is None else json.dumps(fit(value)) for value in values]
    # 1 and True are equal, and as texts are not
    if values.count(first) == len(values) and (first is None or isinstance(first, str) or not isinstance(kind, String)):
        return [None if first is None else fit(first)] * len(values)
    return [None if value is None else fit(value) for value in values]


def fit_job(row: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a job, likewise."""
    return _fitted("jobs", row)


def fit_flag(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of flags, likewise."""
    return _fitted("flags", row)


def result_json(answer: Success) -> str:
    """A validated answer as the JSON text that is stored; no character in it is refused."""
    return _clean_text(answer.as_json_text())


def _fitted(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    fits = _fits(table)
    return {name: value if value is None or name not in fits else fits[name](value) for name, value in row.items()}


@cache
def _fits(table: str) -> dict[str, Callable[[Any], object]]:
    columns = {"attempts": attempts, "flags": flags, "jobs": jobs, "outcomes": outcomes}[table].c
    return {column.name: _fit(column) for column in columns}


def _fit(column: Column[Any]) -> Callable[[Any], object]:
    kind, missing = column.type, None if column.nullable else 0
    if isinstance(kind, JSON):
        return lambda value: _clean_json(value, DEEPEST)
    if isinstance(kind, String):
        return _text(kind.length)
    if isinstance(kind, Double):
        return lambda value: _number(value, missing)
    if isinstance(kind, Integer):
        return lambda value: _integer(value, missing)
    return lambda value: value


def _text(length: int | None) -> Callable[[Any], str]:
    def fitted(value: object) -> str:
        if type(value) is str and value.isascii() and "\x00" not in value and (length is None or len(value) <= length):
            return value  # as nearly all are
        return _clean_text(value if isinstance(value, str) else str(value))[:length]

    return fitted


def _clean_text(text: str) -> str:
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub(REPLACEMENT, text)


def _number(value: object, missing: float | None) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever it is, it is tried
    except (TypeError, ValueError, OverflowError):
        return missing
    return number if math.isfinite(number) else missing


def _integer(value: object, missing: int | None) -> int | None:
    if type(value) is int and -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        return value
    number = value if isinstance(value, int) else _number(value, missing)
    return None if number is None else int(max(-LARGEST_INTEGER, min(LARGEST_INTEGER, number)))


def _clean_json(value: object, levels: int) -> object:
    """What a JSON column holds and every reader of it can read; the deepest levels are left out."""
    if isinstance(value, dict | list | tuple):
        return _clean_branch(value, levels - 1) if levels > 0 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else _clean_text(str(value))


def _clean_branch(value: dict[Any, Any] | list[Any] | tuple[Any, ...], levels: int) -> object:
    if isinstance(value, dict):
        return {_clean_text(str(key)): _clean_json(item, levels) for key, item in value.items()}
    return [_clean_json(item, levels) for item in value]
