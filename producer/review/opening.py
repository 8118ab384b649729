"""The review of a batch through a client, for who may open no store of his own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.review.glance import Board
from producer.review.review import Review
from workers.store.decisions import ConflictingDecision

__all__ = ["ConflictingDecision", "board_of", "review_of"]

if TYPE_CHECKING:
    from producer.client import JobClient


def review_of(client: JobClient, batch: str) -> Review:
    """What people decide about this batch."""
    return Review(client.store, batch, registry=client.registry)


def board_of(client: JobClient, batch: str) -> Board:
    """What the page shows of this batch."""
    return Board(client, batch)
