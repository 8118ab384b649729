"""How long student work is kept, and how the records leave the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.store.history import read_ledger, read_outcomes
from workers.store.overviews import find_batch, list_batches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workers.store import Store
    from workers.store.history import Record


def exported(store: Store, names: Sequence[str] = (), *, ledger: bool = False) -> Iterator[Record]:
    """Outcomes of all rounds, or the requests of the ledger, of these batches or of all, a snapshot per batch.

    Raises `InvalidInput` for a batch that does not exist, before the first record.
    """
    with store.snapshot() as connection:
        for name in names:
            find_batch(connection, name)
        chosen = list(names) or list_batches(connection)
    return _records(store, chosen, ledger=ledger)


def _records(store: Store, names: Sequence[str], *, ledger: bool) -> Iterator[Record]:
    read = read_ledger if ledger else read_outcomes
    for name in names:
        with store.snapshot() as connection:
            yield from read(connection, name)
