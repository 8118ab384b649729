"""Disks that fill up under real workers: no answer that was received is lost, or the worker ends with a sentence."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.scene import Scene, open_scene
from tests.support.stores import new_store
from tests.support.wait import DEADLINE_SECONDS, wait_until
from workers.store.spool import UNSAVED_EXIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.store import Store

pytestmark = pytest.mark.integration

CALLS = 12
DISK_BYTES = 6 * 2**20


class SmallDisk:
    """A file system of a few megabytes, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Not a byte is left."""
        with (self.folder / "ballast").open("ab", buffering=0) as file:
            for size in (2**16, 2**12, 1):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        (self.folder / "ballast").unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def store_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "store-disk") as disk:
        yield disk


@pytest.fixture
def spool_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "spool-disk") as disk:
        yield disk


@pytest.fixture
def small_store(store_disk: SmallDisk) -> Iterator[Store]:
    store = new_store(store_disk.folder / "store.db")
    yield store
    store.close()


def spooled(data_dir: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in data_dir.glob("spool/*/*.jsonl"))


def fill_under_way(scene: Scene, *disks: SmallDisk) -> None:
    """A dozen calls are in flight when the disks fill up; their answers come after."""
    scene.begin_calls(CALLS, "b")
    for disk in disks:
        disk.fill()
    scene.answer(CALLS)


def end(scene: Scene, data_dir: Path, how: str) -> None:
    if how == "kill":
        wait_until(lambda: spooled(data_dir) == CALLS, "every answer is on disk")
        for pid in scene.workers.pids:
            scene.workers.kill(pid)
    else:
        assert scene.workers.stop(seconds=DEADLINE_SECONDS), "it stops by itself"
        # the spare room that it gives back may be enough for the store on the same disk
        assert spooled(data_dir) + scene.progress("b").succeeded == CALLS


def expect_all_stored_once(scene: Scene) -> None:
    progress = scene.wait_for("b", lambda progress: progress.is_finished, "they were taken up")
    assert progress.succeeded == CALLS
    assert progress.attempts == {"answered": CALLS}
    assert scene.provider.stats()["received"] == CALLS, "nothing was paid for twice"
    assert b"store.away" in scene.workers.logs(), "the disk was full indeed"


@pytest.fixture(params=["store", "store and spool on one disk", "store and spool on two disks"])
def full_disks(
    request: pytest.FixtureRequest, store_disk: SmallDisk, spool_disk: SmallDisk, tmp_path: Path
) -> tuple[Path, list[SmallDisk]]:
    """The data folder, and the disks that fill up."""
    if request.param == "store":
        return tmp_path, [store_disk]
    if request.param == "store and spool on one disk":
        return store_disk.folder, [store_disk]
    return spool_disk.folder, [store_disk, spool_disk]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_no_paid_answer_is_lost_to_a_full_disk(
    small_store: Store, full_disks: tuple[Path, list[SmallDisk]], tmp_path: Path, how: str
):
    data_dir, full = full_disks
    changes = {"GRADEQUEUE_DATA_DIR": str(data_dir), "GRADEQUEUE_STORE_PATIENCE": "1", "GRADEQUEUE_DEAD_AFTER": "30"}
    with open_scene(small_store, tmp_path, latency_ms="5", **changes) as scene:
        fill_under_way(scene, *full)
        end(scene, data_dir, how)
        for disk in full:
            disk.free()
        scene.workers.start()
        expect_all_stored_once(scene)
        wait_until(lambda: spooled(data_dir) == 0, "nothing is left in the spool")


def test_answers_are_stored_when_there_is_room_again_without_a_restart(
    small_store: Store, store_disk: SmallDisk, tmp_path: Path
):
    with open_scene(small_store, tmp_path, latency_ms="5", GRADEQUEUE_DEAD_AFTER="30") as scene:
        fill_under_way(scene, store_disk)
        wait_until(lambda: spooled(tmp_path) == CALLS, "every answer is on disk")
        store_disk.free()
        expect_all_stored_once(scene)
        wait_until(lambda: spooled(tmp_path) == 0, "the spool was emptied")


def test_a_full_spool_alone_changes_nothing(store: Store, spool_disk: SmallDisk, tmp_path: Path):
    with open_scene(store, tmp_path, latency_ms="5", GRADEQUEUE_DATA_DIR=str(spool_disk.folder)) as scene:
        fill_under_way(scene, spool_disk)
        progress = scene.wait_for("b", lambda progress: progress.is_finished, "they were stored")
        assert progress.succeeded == CALLS


def test_a_worker_that_can_save_nowhere_ends_with_a_sentence_and_its_own_status(
    small_store: Store, store_disk: SmallDisk, tmp_path: Path
):
    changes = {"GRADEQUEUE_DATA_DIR": str(store_disk.folder), "GRADEQUEUE_STORE_PATIENCE": "1"}
    with open_scene(small_store, tmp_path, latency_ms="5", **changes) as scene:
        [file] = store_disk.folder.glob("spool/*/*.jsonl")
        with file.open("r+b") as reserved:
            reserved.truncate(0)  # somebody took the room that was reserved
        fill_under_way(scene, store_disk)
        [process] = scene.workers._processes
        assert scene.workers.stop(seconds=DEADLINE_SECONDS), "it gives up by itself"
        assert process.returncode == UNSAVED_EXIT
        assert b"make room on its disk" in scene.workers.logs()
        assert f"answers_lost answers={CALLS}".encode() in scene.workers.logs()

        store_disk.free()
        scene.workers.start()
        progress = scene.wait_for("b", lambda progress: progress.is_finished, "its jobs are graded again")
        assert progress.succeeded == CALLS
        assert progress.attempts == {"unknown": CALLS, "answered": CALLS}


def test_a_worker_that_finds_no_room_for_its_answers_does_not_start(
    store: Store, spool_disk: SmallDisk, tmp_path: Path
):
    with open_scene(store, tmp_path, GRADEQUEUE_DATA_DIR=str(spool_disk.folder)) as scene:
        scene.workers.stop()
        spool_disk.fill()
        scene.workers.start()
        [process] = scene.workers._processes
        assert process.wait(DEADLINE_SECONDS) != 0
        assert b"free some space" in scene.workers.logs()
