"""Schema migrations, run by Alembic from inside the package; `Store` is the only caller beside `gradequeue upgrade`.

A migration only adds (expand), in a transaction of its own: workers of the release before go on beside it. What it adds
and existing rows must fill is filled afterwards, in chunks (`backfills`). What a release no longer needs is taken away
by a migration of the next one (contract). A module whose migration holds others up while it reads or writes a table
that grows says so in `locks`, a sentence. One that takes away names in `works_from` the oldest revision whose release
can still work with the store; the store keeps it, and older releases do not start there. A test reads every statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import text

from workers.contract.errors import ServiceUnavailable
from workers.store.engine import HEAD_REVISION
from workers.store.migrations.backfills import run_backfills

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from workers.store.engine import Store

_ADVISORY_LOCK = 0x67726164  # "grad": one migration at a time on PostgreSQL; SQLite's BEGIN IMMEDIATE does it there
FIRST_FLOOR = "0023_floor"
LOCK_SECONDS = 10
"""Every statement after a waiting migration waits behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One migration that a store has before it."""

    revision: str
    says: str
    """What it is for, in a sentence."""
    locks: str
    """Who waits while it runs, for a time that grows with the store; empty when nobody does."""
    works_from: str
    """The oldest revision whose release can work with the store afterwards; empty for a step that only adds."""


def waiting_steps(store: Store) -> list[Step]:
    """The migrations between the store and this version, in order. Raises `ServiceUnavailable` for a newer store."""
    script = ScriptDirectory.from_config(_config())
    with store.snapshot() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    known = [each for each in reversed(list(script.walk_revisions())) if each.revision]
    names = [each.revision for each in known]
    if present is not None and present not in names:
        raise _newer()
    waiting = known if present is None else known[names.index(present) + 1 :]
    return [
        Step(
            revision=each.revision,
            says=each.doc.splitlines()[0],
            locks="" if present is None else getattr(each.module, "locks", ""),
            works_from=getattr(each.module, "works_from", ""),
        )
        for each in waiting
    ]


def upgrade(store: Store, *, to: str = HEAD_REVISION) -> None:
    """Bring the store to this revision, then fill what migrations left to fill; one that was broken off is resumed.

    Raises `ServiceUnavailable` for a store from the future, and where a lock was not to be had.
    """
    if store.revision is None:  # nobody uses it yet
        _in_transaction(store, to)
    for step in waiting_steps(store):
        if step.revision > to:
            return
        _in_transaction(store, step.revision)
    run_backfills(store)


def _in_transaction(store: Store, revision: str) -> None:
    try:
        with store.transaction() as connection:
            if not store.is_sqlite:
                _begin(connection)
            if (MigrationContext.configure(connection).get_current_revision() or "") >= revision:
                return  # another process was faster
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            _keep_floor(connection, revision)
    except CommandError:
        raise _newer() from None
    except ServiceUnavailable as error:
        raise ServiceUnavailable(
            "store", f"{error}; {revision} was not written, what came before it stays; upgrade again"
        ) from None


def _keep_floor(connection: Connection, reached: str) -> None:
    """Which releases may start on the store from now on."""
    known = ScriptDirectory.from_config(_config()).walk_revisions()
    floors = [getattr(each.module, "works_from", "") for each in known if FIRST_FLOOR <= each.revision <= reached]
    if floors:
        floor = max(FIRST_FLOOR, *floors)
        connection.execute(text("UPDATE store_identity SET works_from = :floor"), {"floor": floor})


def _begin(connection: Connection) -> None:
    """As long as it takes, but no long wait for a lock."""
    connection.execute(text("SELECT set_config('statement_timeout', '0', true)"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    connection.execute(text("SELECT set_config('lock_timeout', :most, true)"), {"most": f"{LOCK_SECONDS}s"})


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _newer() -> ServiceUnavailable:
    return ServiceUnavailable("store", "the store was made by a newer version of gradequeue; upgrade this installation")
