"""Many rows in one statement on PostgreSQL: without prepared statements, the server plans each statement anew.

Behind a pooler there are none (see `engine`), so that five hundred small updates would be planned five hundred times.
The rows travel as one array per column. SQLite plans at no cost, and takes them one by one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, JSON, Text, bindparam, cast, column, func, select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Table
    from sqlalchemy.sql.elements import ColumnElement
    from sqlalchemy.types import TypeEngine


def given_rows(
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: str | None = None,
    others: Mapping[str, TypeEngine[Any]] | None = None,
) -> dict[str, ColumnElement[Any]]:
    """Each name's expression in a table of the rows.

    `key` is a name in the rows for the table's id, `others` are types of names that are no column of it.
    """
    names = list(rows[0])
    types: dict[str, TypeEngine[Any]] = {
        name: (others or {}).get(name) or table.c["id" if name == key else name].type for name in names
    }
    sent = {name: Text() if isinstance(types[name], JSON) else types[name] for name in names}
    arrays = [
        cast(bindparam(f"all_{name}", [_sent(row[name], types[name]) for row in rows]), ARRAY(sent[name]))
        for name in names
    ]
    given = (
        func.unnest(*arrays).table_valued(*(column(name, sent[name]) for name in names), name="given").render_derived()
    )
    expressions: dict[str, ColumnElement[Any]] = {
        name: cast(given.c[name], JSON) if isinstance(types[name], JSON) else given.c[name] for name in names
    }
    return expressions


def _sent(value: object, kind: TypeEngine[Any]) -> object:
    return json.dumps(value) if value is not None and isinstance(kind, JSON) else value


def selected(expressions: Mapping[str, ColumnElement[Any]], **more: ColumnElement[Any]) -> tuple[list[str], Any]:
    """Names and query for `INSERT ... FROM SELECT`, with further columns that all rows share."""
    return [*expressions, *more], select(*expressions.values(), *more.values())
