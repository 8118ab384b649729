"""A client on an empty store, without a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.client import JobClient
from workers.contract.registry import builtin_registry

if TYPE_CHECKING:
    from workers.store import Store


@pytest.fixture
def client(store: Store) -> JobClient:
    return JobClient(store=store, publisher=None, registry=builtin_registry(), provider="standin")
