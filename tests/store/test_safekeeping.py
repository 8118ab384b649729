"""While the store does not take an answer, it is on disk: a kill loses none, and a full disk is said aloud."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.store.steps import claimed, job_row, states, success
from tests.store.test_writer import Away, Spooled, writing
from tests.support.wait import wait_until
from workers.contract.errors import ServiceUnavailable
from workers.store import safekeeping
from workers.store import writer as module
from workers.store.job_update import JobUpdate
from workers.store.spool import BYTES_PER_JOB, Spool, spool_folder, take_up
from workers.store.writer import NotStored

if TYPE_CHECKING:
    from pathlib import Path

    from workers.store import Store


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(safekeeping, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(safekeeping, "SPOOL_AFTER_SECONDS", 0.05)


async def until(condition: Any, what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what, 30)


async def test_an_outage_of_seconds_puts_answers_on_disk_and_their_end_empties_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    jobs = claimed(store, 3)
    away = Away(store, monkeypatch, transactions=float("inf"))
    spool = Spool(tmp_path, store, worker_id="w1")
    spool.reserve(4)
    async with writing(store, spool=spool) as writer:
        waiting = [asyncio.ensure_future(writer.persist(JobUpdate(ending=success(job)))) for job in jobs[:2]]
        [path] = spool_folder(tmp_path, store).iterdir()
        await until(lambda: path.read_bytes().count(b"\n") == 2, "both are on disk")
        waiting.append(asyncio.ensure_future(writer.persist(JobUpdate(ending=success(jobs[2])))))
        await until(lambda: path.read_bytes().count(b"\n") == 3, "the third is behind them")
        away.is_away = False
        assert await asyncio.gather(*waiting) == [True] * 3
        await until(lambda: not path.read_bytes().strip(b"\0"), "nothing is left in it")
        assert path.stat().st_size == 4 * BYTES_PER_JOB, "its room stays reserved"
    spool.close()
    assert not path.exists()


async def test_a_store_that_hangs_does_not_keep_answers_in_memory(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, second = claimed(store, 2)
    goes_on, original = threading.Event(), store.transaction

    def hang() -> Any:
        assert goes_on.wait(60)
        return original()

    monkeypatch.setattr(store, "transaction", hang)
    spool = Spool(tmp_path, store, worker_id="w1")
    async with writing(store, spool=spool) as writer:
        waiting = [asyncio.ensure_future(writer.persist(JobUpdate(ending=success(job)))) for job in (first, second)]
        folder = spool_folder(tmp_path, store)
        await until(lambda: b"".join(path.read_bytes() for path in folder.glob("*")).count(b"\n") == 2, "on disk")
        goes_on.set()
        assert await asyncio.gather(*waiting) == [True, True]
    spool.close()


async def test_a_store_that_says_it_is_away_leaves_no_answer_in_memory_for_seconds(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("workers.store.safekeeping.SPOOL_AFTER_SECONDS", 3600.0)
    [job] = claimed(store)
    away = Away(store, monkeypatch, transactions=float("inf"))
    spool = Spool(tmp_path, store, worker_id="w1")
    spool.reserve(1)
    async with writing(store, spool=spool) as writer:
        waiting = asyncio.ensure_future(writer.persist(JobUpdate(ending=success(job))))
        [path] = spool_folder(tmp_path, store).iterdir()
        await until(lambda: path.read_bytes().count(b"\n") == 1, "it is on disk")
        away.is_away = False
        assert await waiting
    spool.close()


async def test_a_worker_killed_in_an_outage_leaves_its_answers_to_the_next(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    jobs = claimed(store, 5)
    with monkeypatch.context() as patch:
        Away(store, patch, transactions=float("inf"))
        spool = Spool(tmp_path, store, worker_id="w1")
        spool.reserve(5)
        async with writing(store, spool=spool) as writer:
            waiting = [asyncio.ensure_future(writer.persist(JobUpdate(ending=success(job)))) for job in jobs]
            [path] = spool_folder(tmp_path, store).iterdir()
            await until(lambda: path.read_bytes().count(b"\n") == 5, "all are on disk")
            killed_with = path.read_bytes()
            writer.expect_stop(patience_seconds=0)
            assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {NotStored}
        spool.close()
    path.write_bytes(killed_with)

    assert take_up(tmp_path, store) == 5
    assert states(store) == {"succeeded": 5}
    path.write_bytes(killed_with)
    take_up(tmp_path, store)
    assert job_row(store, jobs[0].id).state == "succeeded"


async def test_a_worker_that_can_save_nowhere_says_so_and_tries_to_its_end(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    [job] = claimed(store)
    Away(store, monkeypatch, transactions=float("inf"))
    monkeypatch.setattr(module, "UNSAVED_SECONDS", 0.2)
    spooled = Spooled()
    spooled.full = True
    async with writing(store, spool=spooled) as writer:
        waiting = asyncio.ensure_future(writer.persist(JobUpdate(ending=success(job))))
        await until(lambda: "make room on its disk" in caplog.text, "it says so before it has to stop")
        writer.expect_stop(patience_seconds=0)
        with pytest.raises(NotStored):
            await waiting
        await asyncio.to_thread(writer.stop, patience_seconds=0)

    assert writer.unsaved == 1
    assert "answers_lost answers=1" in caplog.text


async def test_room_that_is_made_in_the_last_grace_saves_the_answers(store: Store, monkeypatch: pytest.MonkeyPatch):
    [job] = claimed(store)
    away = Away(store, monkeypatch, transactions=float("inf"))
    spooled = Spooled()
    spooled.full = True
    async with writing(store, spool=spooled) as writer:
        waiting = asyncio.ensure_future(writer.persist(JobUpdate(ending=success(job))))
        writer.expect_stop(patience_seconds=0)
        tries = away.tries
        await until(lambda: away.tries > tries + 3, "it goes on trying the store too")
        spooled.full = False
        with pytest.raises(NotStored):
            await waiting
        await asyncio.to_thread(writer.stop, patience_seconds=0)

    assert writer.unsaved == 0
    assert len(spooled) == 1


def test_a_worker_without_room_for_its_answers_does_not_start(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(_descriptor: int, _offset: int, _size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(
        ServiceUnavailable, match=r"cannot reserve 12 MiB .* No space left .* free some space"
    ) as caught:
        Spool(tmp_path, store, worker_id="w1").reserve(400)
    assert caught.value.service == "disk"
    assert [*spool_folder(tmp_path, store).iterdir()] == []
