"""Many rows in one statement on PostgreSQL: without prepared statements, the server plans each statement anew.

Behind a pooler there are none (see `engine`), so that five hundred small updates would be planned five hundred times.
The rows travel as one array per column; whole rows that meet no others are copied. SQLite takes rows one by one, by a
statement that is prepared once. A long list of values is one parameter on both.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Integer, Text, bindparam, cast, column, event, func, select, type_coerce
from sqlalchemy.types import UserDefinedType

from workers.store.clock import now_seconds
from workers.store.compiled import Compiled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import BindParameter, Connection, Engine, Table
    from sqlalchemy.sql.elements import ColumnElement
    from sqlalchemy.types import TypeEngine


def insert_columns(
    connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]], *, at: str, may_exist: bool = False
) -> None:
    """Insert one row or more, given by column, JSON as text; `at` gets the database's time."""
    if connection.dialect.name == "sqlite":
        _sqlite_insertion(table, tuple(columns), at, may_exist).execute_many(connection, columns)
        return
    several = varying(columns)
    insertion = _postgresql_insertion(table, tuple(columns), several, at, may_exist)
    insertion.execute(connection, parameters(columns, several))


@cache
def _sqlite_insertion(table: Table, names: tuple[str, ...], at: str, may_exist: bool) -> Compiled:  # noqa: FBT001
    from sqlalchemy.dialects.sqlite import insert  # noqa: PLC0415 - costs 20 ms, and PostgreSQL needs none

    values = {name: bindparam(f"all_{name}", type_=_sent_type(table, name)) for name in names}
    insertion = insert(table).values({**values, at: now_seconds()})
    return Compiled(
        insertion.on_conflict_do_nothing(index_elements=list(table.primary_key)) if may_exist else insertion
    )


@cache
def _postgresql_insertion(
    table: Table,
    names: tuple[str, ...],
    several: tuple[str, ...],
    at: str,
    may_exist: bool,  # noqa: FBT001
) -> Compiled:
    from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415 - costs 20 ms, and SQLite needs none

    query = select(*given_columns(table, names, several).values(), now_seconds())
    insertion = insert(table).from_select([*names, at], query)
    return Compiled(
        insertion.on_conflict_do_nothing(index_elements=list(table.primary_key)) if may_exist else insertion
    )


def given_columns(
    table: Table, names: Sequence[str], several: Collection[str], *, key: str | None = None
) -> dict[str, ColumnElement[Any]]:
    """Each name's expression in a table of the `parameters`, on PostgreSQL: an array's, or where all are equal a value.

    `key` is a name for the table's id.
    """
    types = {name: table.c["id" if name == key else name].type for name in names}
    sent = {name: Text() if isinstance(types[name], JSON) else types[name] for name in names}
    arrays = [bindparam(f"all_{name}", type_=_array_of(sent[name])) for name in names if name in several]
    given = (
        func.unnest(*arrays)
        .table_valued(*(column(name, sent[name]) for name in names if name in several), name="given")
        .render_derived()
    )
    expressions: dict[str, ColumnElement[Any]] = {}
    for name in names:
        one = given.c[name] if name in several else bindparam(f"all_{name}", type_=sent[name])
        expressions[name] = cast(one, JSON) if isinstance(types[name], JSON) else one
    return expressions


def varying(columns: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    """The first column, and those whose values are not all equal."""
    first = next(iter(columns))
    return tuple(name for name, values in columns.items() if name == first or values.count(values[0]) < len(values))


def parameters(columns: Mapping[str, Sequence[Any]], several: Collection[str]) -> dict[str, Any]:
    """What a statement of `given_columns` is executed with."""
    return {f"all_{name}": array_text(values) if name in several else values[0] for name, values in columns.items()}


def _sent_type(table: Table, name: str) -> TypeEngine[Any]:
    kind = table.c[name].type
    return Text() if isinstance(kind, JSON) else kind


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
    """The column is one of these texts; one parameter, as five hundred cost more than their rows."""
    return among_given(column, bindparam(None, given_list(connection, values), unique=True), connection.dialect.name)


def among_given(column: ColumnElement[Any], given: BindParameter[Any], dialect_name: str) -> ColumnElement[bool]:
    """The column is one of a `given_list`."""
    if dialect_name == "sqlite":
        return column.in_(select(func.json_each(given).table_valued("value").c.value))
    return column == func.any(type_coerce(given, _array_of(column.type if isinstance(column.type, Integer) else _TEXT)))


def given_list(connection: Connection, values: Collection[str] | Collection[int]) -> str:
    """Texts or numbers as one parameter."""
    return json.dumps(list(values)) if connection.dialect.name == "sqlite" else array_text(values)


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


def copy_columns(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Insert rows that are given by column, on PostgreSQL, at two thirds of the server's cost of an INSERT.

    A JSON column takes its text. No default but the table's own, and no word about rows that exist: those are an error.
    """
    quote = connection.dialect.identifier_preparer.quote
    statement = f"COPY {quote(table.name)} ({', '.join(map(quote, columns))}) FROM STDIN"
    connection.exec_driver_sql(statement, (_copied([*columns.values()]),), execution_options={_COPIES: True})


def _copied(columns: Sequence[Sequence[Any]]) -> Iterator[str]:
    for start in range(0, len(columns[0]), ROWS_A_WRITE):
        fields = [_fields(column[start : start + ROWS_A_WRITE]) for column in columns]
        yield "".join(["\t".join(row) + "\n" for row in zip(*fields, strict=True)])


def _fields(values: Sequence[Any]) -> Iterable[str]:
    """Most columns of a batch hold one value in all rows."""
    if values.count(values[0]) == len(values):
        return [_field(values[0])] * len(values)
    return map(_field, values)


def _field(value: object) -> str:
    """One value as PostgreSQL's text format has it."""
    if value is None:
        return "\\N"
    if not isinstance(value, str):
        return str(value)
    if value.isalnum():
        return value
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
