"""Statements that are compiled once a process, and executed with what the driver takes as it is.

To build a statement, to look it up by its parts and to bring its parameters into form costs several times as much as
the rows of a small commit. Errors, broken connections and transactions are SQLAlchemy's, as with any other statement.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, CursorResult, Executable


class _Text(NamedTuple):
    """What one kind of database is sent."""

    text: str
    names: Sequence[str] | None
    """In the order of the driver's parameters; None where they have names."""
    fixed: Mapping[str, Any]
    """Values that are the statement's own."""


class Compiled:
    """A statement. Its rows are the driver's own: no types of ours are applied."""

    def __init__(self, statement: Executable) -> None:
        self._statement: Any = statement
        self._texts: dict[str, _Text] = {}
        """By the database's kind."""

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute it with one value for each name."""
        text, names, fixed = self._compiled(connection)
        named = {**fixed, **values}
        given: Any = named if names is None else tuple([named[name] for name in names])
        return connection.exec_driver_sql(text, given)

    def execute_many(self, connection: Connection, columns: Mapping[str, Sequence[Any]]) -> None:
        """Execute it for each row (SQLite); a column's parameter is `all_` and its name."""
        text, names, fixed = self._compiled(connection)
        given = {f"all_{name}": values for name, values in columns.items()}
        count = len(next(iter(columns.values())))
        rows = zip(*[given.get(name) or repeat(fixed.get(name), count) for name in names or ()], strict=True)
        connection.exec_driver_sql(text, list(rows))

    def _compiled(self, connection: Connection) -> _Text:
        kind = connection.dialect.name
        if kind not in self._texts:
            made = self._statement.compile(dialect=connection.dialect)
            self._texts[kind] = _Text(made.string, made.positiontup, made.params)
        return self._texts[kind]
