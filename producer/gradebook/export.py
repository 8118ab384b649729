"""How long student work is kept, and how the records leave the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from workers.store.history import read_ledger, read_ledger_lines, read_outcome_lines, read_outcomes
from workers.store.overviews import find_batch, list_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from workers.store import Store
    from workers.store.history import Record

Line = TypeVar("Line")


def exported(store: Store, names: Sequence[str] = (), *, ledger: bool = False) -> Iterator[Record]:
    """Outcomes of all rounds, or the requests of the ledger, of these batches or of all, a snapshot per batch.

    Raises `InvalidInput` for a batch that does not exist, before the first record.
    """
    return _each(store, _chosen(store, names), read_ledger if ledger else read_outcomes)


def exported_lines(store: Store, names: Sequence[str] = (), *, ledger: bool = False) -> Iterator[str]:
    """The same as lines of JSON, many times faster, because nothing is parsed that nobody looks at."""
    return _each(store, _chosen(store, names), read_ledger_lines if ledger else read_outcome_lines)


def _chosen(store: Store, names: Sequence[str]) -> list[str]:
    with store.snapshot() as connection:
        for name in names:
            find_batch(connection, name)
        return list(names) or list_batches(connection)


def _each(store: Store, names: Sequence[str], read: Callable[[Connection, str], Iterator[Line]]) -> Iterator[Line]:
    for name in names:
        with store.snapshot() as connection:
            yield from read(connection, name)
