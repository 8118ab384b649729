from __future__ import annotations

from pathlib import Path

import click

from producer.cli.options import command_with


@command_with(
    "gradequeue migrate sqlite:////srv/gradequeue/gradequeue.db postgresql://grader@db.example.edu/grades",
    "gradequeue migrate sqlite:////srv/gradequeue/gradequeue.db",
)
@click.argument("sqlite_url")
@click.argument("postgres_url", envvar="DATABASE_URL")
def migrate(sqlite_url: str, postgres_url: str) -> None:
    """Move a store from a SQLite file to PostgreSQL: every row, compared at the end.

    Stop every worker and page first. The database must be empty; a copy that broke off is resumed by the same command.
    POSTGRES_URL is read from DATABASE_URL when it is left out: other users of the machine see what a command is given.
    """
    from producer.terminal.console import out
    from workers.contract.errors import InvalidInput
    from workers.store import Store
    from workers.store.moving import move_store

    source, target = Store.open(sqlite_url), Store.open(postgres_url)
    try:
        if source.is_sqlite and not Path(source.engine.url.database or "").is_file():
            raise InvalidInput(f"there is no file {source.engine.url.database}")
        moved = move_store(
            source,
            target,
            on_table=lambda each: out.print(
                f"{each.table}: {each.rows} rows, equal ({each.digest[:12]})", markup=False, soft_wrap=True
            ),
        )
        rows = sum(each.rows for each in moved)
        out.print(f"Moved {rows} rows. Set DATABASE_URL to the database from now on, and put the file away.")
    finally:
        source.close()
        target.close()
