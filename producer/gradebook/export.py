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


def chosen_batches(store: Store, names: Sequence[str] = ()) -> list[str]:
    """These batches, or all without a name. Raises `InvalidInput` for one that does not exist."""
    with store.snapshot() as connection:
        for name in names:
            find_batch(connection, name)
        return list(names) or list_batches(connection)


def exported(store: Store, names: Sequence[str], *, ledger: bool = False) -> Iterator[Record]:
    """Outcomes of all rounds, or the requests of the ledger, of these batches, a snapshot per batch."""
    return _each(store, names, read_ledger if ledger else read_outcomes)


def exported_lines(store: Store, names: Sequence[str], *, ledger: bool = False) -> Iterator[str]:
    """The same as lines of JSON, faster, because nothing is parsed that nobody looks at."""
    return _each(store, names, read_ledger_lines if ledger else read_outcome_lines)


def _each(store: Store, names: Sequence[str], read: Callable[[Connection, str], Iterator[Line]]) -> Iterator[Line]:
    for name in names:
        with store.snapshot() as connection:
            yield from read(connection, name)
