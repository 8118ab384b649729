"""A worker process lives through every way to lose its broker: no job is lost, and none is paid for twice."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.scene import Scene, SharedScene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ops.bench.chaos.services import Broker

pytestmark = pytest.mark.integration

PAUSE_SECONDS = float(os.environ.get("BROKER_PAUSE_SECONDS", "5"))
"""20 with the timeout that workers have by default; the same happens sooner with a shorter one."""
TIMEOUT_SECONDS = 15.0 if PAUSE_SECONDS > 15 else 2.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedScene]:
    shared = SharedScene(tmp_path_factory.mktemp("scene"), GRADEQUEUE_BROKER_TIMEOUT=str(TIMEOUT_SECONDS))
    yield shared
    shared.close()


@pytest.fixture
def scene(shared: SharedScene) -> Iterator[Scene]:
    with shared.borrowed() as scene:
        yield scene


def kill(broker: Broker) -> None:
    broker.kill()
    time.sleep(1)  # the outage itself
    broker.start()


def shut_down(broker: Broker) -> None:
    broker.shut_down()
    time.sleep(1)
    broker.start()


def kill_clients(broker: Broker) -> None:
    with broker.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal")


def pause(broker: Broker) -> None:
    broker.pause()
    time.sleep(PAUSE_SECONDS)
    broker.resume()


def flush(broker: Broker) -> None:
    with broker.client() as client:
        client.flushall()


LOSSES = [kill, shut_down, kill_clients, pause, flush]


@pytest.mark.parametrize("lose", LOSSES)
def test_calls_in_flight_go_on_and_nothing_is_lost_or_paid_twice(scene: Scene, lose: Callable[[Broker], None]):
    name = f"calls-{lose.__name__}"
    scene.enqueue(36, name)
    [pid] = scene.workers.pids
    scene.wait_for(name, lambda progress: progress.running >= 10 and progress.succeeded >= 5, "the worker is busy")
    lose(scene.broker)
    progress = scene.wait_for(name, lambda progress: progress.is_finished, "all is done")

    assert progress.succeeded == 36
    assert scene.workers.pids == [pid], "the process lived through it"
    assert progress.attempts == {"answered": 36}
    assert scene.provider.stats()["received"] == 36


@pytest.mark.parametrize("lose", [kill, shut_down])
def test_an_idle_worker_takes_work_again(scene: Scene, lose: Callable[[Broker], None]):
    first, second = (f"{order}-{lose.__name__}" for order in ("first", "second"))
    scene.enqueue(1, first)
    [pid] = scene.workers.pids
    scene.wait_for(first, lambda progress: progress.is_finished, "the worker works")
    lose(scene.broker)
    scene.enqueue(12, second)
    scene.wait_for(second, lambda progress: progress.is_finished, "all is done")

    assert scene.workers.pids == [pid]
    assert scene.provider.stats()["received"] == 13


def test_a_worker_with_free_slots_and_work_in_hand_survives_a_kill(scene: Scene):
    scene.enqueue(3, "b")  # of twelve slots: Celery 5.7 alone dies of this
    [pid] = scene.workers.pids
    scene.wait_for("b", lambda progress: progress.running == 3, "the calls are in flight")
    kill(scene.broker)
    scene.wait_for("b", lambda progress: progress.is_finished, "all is done")
    scene.enqueue(5, "c")
    scene.wait_for("c", lambda progress: progress.is_finished, "it goes on")

    assert scene.workers.pids == [pid]
    assert scene.provider.stats()["received"] == 8
