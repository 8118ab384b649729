"""Started pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.pool import Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def start() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def start(**options: Any) -> Bench:
        benches.append(Bench(**options))
        return benches[-1]

    yield start
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(start: Callable[..., Bench]) -> Bench:
    return start()
