"""Running the project's own commands as a user would, against a stand-in that counts."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Bench, StandinServer, started_standin
from tests.support.stores import new_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def start_standin() -> Iterator[Callable[..., StandinServer]]:
    """Start stand-ins with command-line options; they end with the test."""
    with ExitStack() as started:
        yield lambda *options: started.enter_context(started_standin(*options))


@pytest.fixture
def bench(tmp_path: Path, start_standin: Callable[..., StandinServer]) -> Iterator[Bench]:
    """A bench with a stand-in that answers after 20 to 60 ms and has no limit."""
    standin = start_standin("--latency-ms", "20-60")
    bench = Bench(tmp_path, standin, new_store(tmp_path / "data" / "gradequeue.db"))
    yield bench
    bench.close()
