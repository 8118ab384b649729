"""An empty schema of PostgreSQL for one peer. Imported where the project is not installed: psycopg is enough."""

from __future__ import annotations

import psycopg
from psycopg import sql


async def empty_schema(url: str, name: str) -> None:
    """Drop what an earlier run left, and make it anew."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
