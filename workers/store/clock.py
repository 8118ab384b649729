"""The database's clock, by which every time in the store is kept: hosts' own clocks differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Double, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.sql.compiler import SQLCompiler


class now_seconds(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it compiles to
    """Seconds since the epoch by the database's own clock, with sub-second precision."""

    type = Double()
    inherit_cache = True


@compiles(now_seconds, "sqlite")
def _now_on_sqlite(_element: now_seconds, _compiler: SQLCompiler, **_options: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now_seconds, "postgresql")
def _now_on_postgresql(_element: now_seconds, _compiler: SQLCompiler, **_options: object) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


def read_clock(connection: Connection) -> float:
    """What the database's clock says now."""
    return connection.execute(select(now_seconds())).scalar_one()
