"""Many rows in one statement on PostgreSQL: without prepared statements, the server plans each statement anew.

Behind a pooler there are none (see `engine`), so that five hundred small updates would be planned five hundred times.
The rows travel as one array per column, and a long list of values as one array; whole rows that meet no others are
copied. SQLite plans at no cost, and takes rows one by one.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Text, bindparam, cast, column, event, func, select
from sqlalchemy.types import UserDefinedType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.sql.elements import ColumnElement
    from sqlalchemy.types import TypeEngine


def given_rows(
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: str | None = None,
    others: Mapping[str, TypeEngine[Any]] | None = None,
) -> dict[str, ColumnElement[Any]]:
    """Each name's expression in a table of the rows; the first name is an array's, the others are where values differ.

    `key` is a name in the rows for the table's id, `others` are types of names that are no column of it.
    """
    names = list(rows[0])
    types: dict[str, TypeEngine[Any]] = {
        name: (others or {}).get(name) or table.c["id" if name == key else name].type for name in names
    }
    sent = {name: Text() if isinstance(types[name], JSON) else types[name] for name in names}
    values = {name: _values(rows, name, types[name]) for name in names}
    several = [name for name in names if name == names[0] or values[name].count(values[name][0]) < len(rows)]
    arrays = [bindparam(f"all_{name}", array_text(values[name]), _array_of(sent[name])) for name in several]
    given = (
        func.unnest(*arrays)
        .table_valued(*(column(name, sent[name]) for name in several), name="given")
        .render_derived()
    )
    expressions: dict[str, ColumnElement[Any]] = {}
    for name in names:
        one = given.c[name] if name in several else bindparam(f"all_{name}", values[name][0], sent[name])
        expressions[name] = cast(one, JSON) if isinstance(types[name], JSON) else one
    return expressions


def _values(rows: Sequence[Mapping[str, Any]], name: str, kind: TypeEngine[Any]) -> list[Any]:
    if isinstance(kind, JSON):
        return [None if row[name] is None else json.dumps(row[name]) for row in rows]
    return [row[name] for row in rows]


def array_text(values: Iterable[object]) -> str:
    """Texts, numbers, truth values and nothing as PostgreSQL writes an array; the driver takes five times as long."""
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if value.isalnum():  # most are ids
            return f'"{value}"'
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def among(connection: Connection, column: ColumnElement[Any], values: Collection[str]) -> ColumnElement[bool]:
    """The column is one of these texts; on PostgreSQL one parameter, as five hundred cost more than their rows."""
    if connection.dialect.name == "sqlite":
        return column.in_(values)
    return column == func.any(bindparam(None, array_text(values), _array_of(_TEXT), unique=True))


class _WrittenArray(UserDefinedType[str]):
    """A parameter that is written as an array already; the server reads it once, and plans with what is in it."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, item: str) -> None:
        self.item = item

    def get_col_spec(self, **_options: object) -> str:
        """Of a cast."""
        return f"{self.item}[]"


_TEXT = Text()


@cache
def _array_of(item: TypeEngine[Any]) -> _WrittenArray:
    from sqlalchemy.dialects.postgresql import dialect  # noqa: PLC0415 - costs 20 ms, and SQLite needs none

    return _WrittenArray(item.compile(dialect=dialect()))  # type: ignore[no-untyped-call]


def selected(expressions: Mapping[str, ColumnElement[Any]], **more: ColumnElement[Any]) -> tuple[list[str], Any]:
    """Names and query for `INSERT ... FROM SELECT`, with further columns that all rows share."""
    return [*expressions, *more], select(*expressions.values(), *more.values())


ROWS_A_WRITE = 50
"""Rows per message of a COPY: few calls of the driver, and never a second copy of all prompts in memory."""
_COPIES = "gradequeue_copies"


def enable_copies(engine: Engine) -> None:
    """Let `copy_rows` work with connections of this engine (PostgreSQL)."""
    import psycopg  # noqa: PLC0415 - costs 30 ms, and SQLite needs none

    @event.listens_for(engine, "do_execute")
    def _copy(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """Here, so that its errors are SQLAlchemy's, and a broken connection leaves the pool, as with any statement."""
        if not context.execution_options.get(_COPIES):
            return False
        try:
            with cursor.copy(statement) as copy:
                for lines in parameters[0]:
                    copy.write(lines)
        except psycopg.Error as error:  # its second line quotes a row
            raise type(error)(str(error).partition("\n")[0]) from None
        return True


def copy_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all name the same columns, on PostgreSQL, at two thirds of the server's cost of an INSERT.

    A JSON column takes its text. No default but the table's own, and no word about rows that exist: those are an error.
    """
    names = list(rows[0])
    quote = connection.dialect.identifier_preparer.quote
    statement = f"COPY {quote(table.name)} ({', '.join(map(quote, names))}) FROM STDIN"
    connection.exec_driver_sql(statement, (_copied(rows, names),), execution_options={_COPIES: True})


def _copied(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(rows), ROWS_A_WRITE):
        some = rows[start : start + ROWS_A_WRITE]
        yield "".join(["\t".join([_field(row[name]) for name in names]) + "\n" for row in some])


def _field(value: object) -> str:
    """One value as PostgreSQL's text format has it."""
    if value is None:
        return "\\N"
    if not isinstance(value, str):
        return str(value)
    if value.isalnum():
        return value
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
