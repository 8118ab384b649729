"""Migrated stores to copy: migrating one costs more than most tests that need it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.store_id import give_known_id
from workers.store import Store


def new_store(file: Path) -> Store:
    """An empty store of the newest schema in this SQLite file, with the id that tests know."""
    write_store(file)
    return Store.open(f"sqlite:///{file}")


def write_store(file: Path) -> None:
    """The same, for a command or a process to open."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.write_bytes(_migrated())
    file.chmod(0o600)


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        store = Store.open(f"sqlite:///{file}")
        store.migrate()
        give_known_id(store)
        store.close()  # the last connection moves the write-ahead log into the file
        return file.read_bytes()
