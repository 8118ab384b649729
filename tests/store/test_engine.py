"""The store's two engines: what is retried, what is translated, and what never reaches a message."""

from __future__ import annotations

import multiprocessing
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import exc, insert, select, text, update

from tests.store.steps import enqueue, new_job, publish, states
from workers.contract.errors import ServiceUnavailable
from workers.store import Store
from workers.store import engine as module
from workers.store.engine import StoreContention
from workers.store.tables import jobs, leases

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection


@pytest.mark.parametrize("url", ["nonsense", "mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_cannot_be_a_store_is_refused_at_once(url: str):
    with pytest.raises(ServiceUnavailable):
        Store.open(url)


def test_a_server_that_is_not_there_is_a_missing_service():
    store = Store.open("postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(ServiceUnavailable, match="does not answer") as caught, store.snapshot():
        pass
    assert caught.value.service == "store"
    store.close()


def test_two_transactions_that_wait_for_each_other_both_end_well(postgresql_store: Store):
    store = postgresql_store
    with store.transaction() as connection:
        connection.execute(insert(leases), [{"name": name, "holder": "", "expires_at": 0} for name in "ab"])
    both_hold_one = threading.Barrier(2, timeout=60)
    tries: list[str] = []

    def work(first: str, second: str) -> None:
        def twice(connection: object) -> None:
            tries.append(first)
            connection.execute(update(leases).where(leases.c.name == first).values(holder="x"))  # type: ignore[attr-defined]
            if tries.count(first) == 1:
                both_hold_one.wait()
            connection.execute(update(leases).where(leases.c.name == second).values(holder="x"))  # type: ignore[attr-defined]

        store.run(twice)  # type: ignore[arg-type]

    threads = [threading.Thread(target=work, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(tries) == 3, "one of the two ran again"


def test_contention_without_end_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_TRIES", 2)
    tries = []

    def always_meets(_connection: object) -> None:
        tries.append(1)
        raise StoreContention("store", "deadlock")

    with pytest.raises(StoreContention):
        store.run(always_meets)
    assert len(tries) == 2


def test_a_row_that_cannot_be_stored_is_not_taken_for_a_missing_store(store: Store):
    enqueue(store, 1)
    with store.snapshot() as connection:
        row = dict(connection.execute(select(jobs)).one()._mapping)
    with pytest.raises(exc.IntegrityError):
        store.run(lambda connection: connection.execute(insert(jobs), [row]))


def test_a_statement_the_store_cannot_serve_is_a_missing_service(store: Store):
    with pytest.raises(ServiceUnavailable), store.transaction() as connection:
        connection.execute(text("SELECT * FROM no_such_table"))


def test_a_full_disk_is_a_missing_service_and_no_fault_of_the_rows(sqlite_store: Store):
    sqlite_store.migrate()

    def fill(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 60")
        connection.execute(
            insert(leases), [{"name": f"{n:064d}", "holder": "x" * 64, "expires_at": 0} for n in range(5000)]
        )

    with pytest.raises(ServiceUnavailable, match="full"):
        sqlite_store.run(fill)


def test_a_reader_sees_one_moment(store: Store):
    enqueue(store, 2)
    with store.snapshot() as connection:
        before = connection.execute(select(jobs.c.published_at)).scalars().all()
        publish(store)
        assert connection.execute(select(jobs.c.published_at)).scalars().all() == before
    with store.snapshot() as connection:
        assert connection.execute(select(jobs.c.published_at)).scalars().all() != before


def test_a_reader_does_not_wait_for_a_writer(store: Store):
    enqueue(store, 2)
    with store.transaction() as writing:
        writing.execute(update(jobs).values(state="running"))
        assert states(store) == {"ready": 2}


def test_a_hanging_statement_ends(postgresql_store: Store):
    with postgresql_store.snapshot() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar() == f"{module.STATEMENT_SECONDS}s"
        assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "10min"

    def hang(connection: Connection) -> None:
        connection.execute(text("SET LOCAL statement_timeout = '50ms'"))
        connection.execute(text("SELECT pg_sleep(20)"))

    with pytest.raises(ServiceUnavailable, match="statement timeout"):
        postgresql_store.run(hang)


def test_a_connection_that_the_server_ended_is_replaced(postgresql_store: Store):
    with postgresql_store.snapshot() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    other = Store(module._postgresql_engine(postgresql_store.engine.url))
    with other.transaction() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend({pid})"))
    other.close()

    assert postgresql_store.run(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1


def test_no_error_quotes_a_prompt(store: Store):
    marker = "XMARKERX"
    enqueue(store, [new_job("a", prompt=marker)])
    for statement in (
        insert(jobs).values(id="x", prompt=marker),
        text("INSERT INTO jobs (prompt) VALUES (:p)").bindparams(p=marker),
        text("SELECT no_such_column FROM jobs WHERE prompt = :p").bindparams(p=marker),
    ):
        with pytest.raises((exc.SQLAlchemyError, ServiceUnavailable)) as caught, store.transaction() as connection:
            connection.execute(statement)
        if isinstance(caught.value, ServiceUnavailable):
            assert marker not in str(caught.value)
            assert caught.value.__cause__ is None


def open_and_write(url: str, number: int) -> None:
    store = Store.open(url)
    store.migrate()
    enqueue(store, [new_job(f"{number}-{item}") for item in range(5)], name=f"b{number}")
    store.close()


def test_many_processes_that_meet_a_new_store_all_get_in(expendable_store: Store, tmp_path: Path):
    store = expendable_store
    url = f"sqlite:///{tmp_path / 'new.db'}" if store.is_sqlite else _empty_twin(store)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.store.steps", "workers.store.migrations"])
    processes = [context.Process(target=open_and_write, args=(url, number)) for number in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)

    assert [process.exitcode for process in processes] == [0] * 5
    opened = Store.open(url)
    assert states(opened) == {"ready": 25}
    opened.close()


def _empty_twin(store: Store) -> str:
    with store.transaction() as connection:
        schema = connection.execute(text("SELECT current_schema()")).scalar()
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    return store.engine.url.render_as_string(hide_password=False)
