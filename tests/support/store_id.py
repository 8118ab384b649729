"""An id that tests know beforehand, so that they can name a store's queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from workers.contract.wire import broker_queue
from workers.publisher import KEY_PREFIX
from workers.store.tables import store_identity

if TYPE_CHECKING:
    from workers.store import Store

STORE_ID = "0123456789ab"


def give_known_id(store: Store) -> None:
    """Before anybody reads the one that was drawn."""
    with store.transaction() as connection:
        connection.execute(update(store_identity).values(id=STORE_ID))


def queue_key(queue: str, provider: str) -> str:
    """Where the messages of such a store wait."""
    return KEY_PREFIX + broker_queue(queue, provider, STORE_ID)
