"""A client on an empty store, without a broker; and the page's tests without what each of them would repeat."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from streamlit.components.v2 import manifest_scanner

from producer.client import JobClient
from workers.contract.registry import builtin_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.store import Store


@pytest.fixture(scope="session", autouse=True)
def _components_are_looked_for_once() -> Iterator[None]:
    """Streamlit reads the metadata of every installed distribution at the first run of each app: 0.3 s of CPU."""
    with pytest.MonkeyPatch.context() as patched:
        found_once = cache(manifest_scanner.scan_component_manifests)
        patched.setattr(manifest_scanner, "scan_component_manifests", found_once)
        yield


@pytest.fixture
def client(store: Store) -> JobClient:
    return JobClient(store=store, publisher=None, registry=builtin_registry(), provider="standin")
