"""Statements that are compiled once a process, and executed with what the driver takes as it is.

To build a statement, to look it up by its parts and to bring its parameters into form costs several times as much as
the rows of a small commit. Errors, broken connections and transactions are SQLAlchemy's, as with any other statement.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, CursorResult, Executable


class Compiled:
    """One statement for one kind of database. Its rows are the driver's own: no types of ours are applied."""

    def __init__(self, statement: Executable) -> None:
        self._statement: Any = statement
        self._text = ""
        self._names: Sequence[str] | None = None
        """In the order of the driver's parameters; None where they have names."""
        self._fixed: Mapping[str, Any] = {}
        """Values that are the statement's own."""

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute it with one value for each name."""
        self._compile(connection)
        named = {**self._fixed, **values}
        given: Any = named if self._names is None else tuple([named[name] for name in self._names])
        return connection.exec_driver_sql(self._text, given)

    def execute_many(self, connection: Connection, columns: Mapping[str, Sequence[Any]]) -> None:
        """Execute it for each row (SQLite); a column's parameter is `all_` and its name."""
        self._compile(connection)
        given = {f"all_{name}": values for name, values in columns.items()}
        count = len(next(iter(columns.values())))
        rows = zip(
            *[given.get(name) or repeat(self._fixed.get(name), count) for name in self._names or ()], strict=True
        )
        connection.exec_driver_sql(self._text, list(rows))

    def _compile(self, connection: Connection) -> None:
        if self._text:
            return
        made = self._statement.compile(dialect=connection.dialect)
        self._fixed = made.params
        self._names = made.positiontup
        self._text = made.string  # last: another thread goes by it
