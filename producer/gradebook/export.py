"""How long student work is kept, and how the records leave the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.store.history import read_ledger, read_outcomes
from workers.store.overviews import find_batch, list_batches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workers.store import Store
    from workers.store.history import Record


def chosen_batches(store: Store, names: Sequence[str] = ()) -> list[str]:
    """These batches, or all without a name. Raises `InvalidInput` for one that does not exist."""
    with store.snapshot() as connection:
        for name in names:
            find_batch(connection, name)
        return list(names) or list_batches(connection)


def exported(store: Store, names: Sequence[str], *, ledger: bool = False) -> Iterator[Record]:
    """Outcomes of all rounds, or the requests of the ledger, of these batches, a snapshot per batch."""
    read = read_ledger if ledger else read_outcomes
    for name in names:
        with store.snapshot() as connection:
            yield from read(connection, name)
