"""Whether a store was never used, without SQLAlchemy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workers.contract.outcome import AccountState
from workers.store import Store
from workers.store.enqueue import open_batch
from workers.store.liveness import register_worker
from workers.store.parks import park_account
from workers.store.unused_store import is_untouched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def with_batch(store: Store) -> None:
    open_batch(store, name="b", provider="p", queue="bulk")


def with_worker(store: Store) -> None:
    with store.transaction() as connection:
        register_worker(connection, worker_id="w", hostname="h", pid=1, queues="bulk")


def with_park(store: Store) -> None:
    with store.transaction() as connection:
        park_account(connection, account="p", state=AccountState.AUTH_FAILED, message="key refused")


@pytest.mark.parametrize("use", [with_batch, with_worker, with_park])
def test_a_store_is_untouched_until_it_holds_a_batch_a_worker_or_a_park(tmp_path: Path, use: Callable[[Store], None]):
    url = f"sqlite:///{tmp_path}/a name#.db"
    store = Store.open(url)
    store.migrate()
    assert is_untouched(url)

    use(store)
    assert not is_untouched(url)
    store.close()


@pytest.mark.parametrize("name", ["missing.db", "empty.db", "no database.db"])
def test_a_file_that_is_no_store_is_left_to_those_who_can_say_why(tmp_path: Path, name: str):
    (tmp_path / "empty.db").touch()
    (tmp_path / "no database.db").write_bytes(b"text" * 1000)
    before = sorted(tmp_path.iterdir())

    assert not is_untouched(f"sqlite:///{tmp_path}/{name}")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "url", ["postgresql://host/name", "sqlite:///relative.db", "sqlite://", "sqlite:////a%23.db", "sqlite:////a?x=1"]
)
def test_only_a_file_by_its_whole_path_is_looked_at(url: str):
    assert not is_untouched(url)
