"""The embedded broker: started once, shared, stopped by the last, replaced when it is broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from producer.local.embedded import EmbeddedBroker, join_services
from tests.support.wait import wait_until
from workers.contract.errors import ServiceUnavailable
from workers.settings import load_settings

pytestmark = pytest.mark.integration


def server_pid(folder: Path) -> int:
    return int((folder / "broker.pid").read_text())


def is_alive(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_timeout=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def test_the_last_one_to_leave_stops_the_server(tmp_path: Path):
    first = EmbeddedBroker.join(tmp_path)
    pid = server_pid(tmp_path)
    second = EmbeddedBroker.join(tmp_path)
    assert server_pid(tmp_path) == pid
    first.leave()
    assert is_alive(second.url)
    second.leave()
    wait_until(lambda: not psutil.pid_exists(pid), "the server is gone")
    assert not (tmp_path / "broker.pid").exists()


def test_the_server_is_stopped_also_where_the_terminal_is_narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`ps` cuts a command to the columns that the environment names: a long path then hid the server's own."""
    monkeypatch.setenv("COLUMNS", "20")
    broker = EmbeddedBroker.join(tmp_path)
    pid = server_pid(tmp_path)
    broker.leave()
    wait_until(lambda: not psutil.pid_exists(pid), "the server is gone")


def test_a_child_that_inherited_the_lock_keeps_the_server_alive(tmp_path: Path):
    broker = EmbeddedBroker.join(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[broker.lock_fd])
    broker.leave()
    assert is_alive(broker.url)
    child.communicate(b"\n")
    last = EmbeddedBroker.join(tmp_path)
    last.leave()
    assert not is_alive(broker.url)


def test_a_server_that_hangs_or_died_is_replaced(tmp_path: Path):
    broker = EmbeddedBroker.join(tmp_path)
    killed = server_pid(tmp_path)
    os.kill(killed, signal.SIGKILL)
    assert broker.restart_if_dead()
    assert not broker.restart_if_dead()
    assert is_alive(broker.url)
    assert server_pid(tmp_path) != killed
    broker.leave()


def test_a_server_left_by_a_killed_process_is_taken_over(tmp_path: Path):
    code = (
        "import os, sys; from pathlib import Path; from producer.local.embedded import EmbeddedBroker\n"
        "EmbeddedBroker.join(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, cwd=Path(__file__).parents[2])
    left = server_pid(tmp_path)
    broker = EmbeddedBroker.join(tmp_path)
    assert server_pid(tmp_path) == left
    broker.leave()
    assert not is_alive(broker.url)


def test_a_recorded_number_that_now_belongs_to_another_program_is_left_alone(tmp_path: Path):
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / "broker.pid").write_text(str(bystander.pid))
    broker = EmbeddedBroker.join(tmp_path)
    assert bystander.poll() is None
    broker.leave()
    bystander.communicate(b"\n")
    assert bystander.returncode == 0


def test_a_data_folder_with_a_long_path_works(tmp_path: Path):
    deep = tmp_path / ("d" * 120)
    services = join_services(load_settings(data_dir=deep))
    assert is_alive(services.redis_url)
    services.leave()


def test_a_data_folder_that_is_a_file_is_one_clear_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ServiceUnavailable, match="data folder"):
        join_services(load_settings(data_dir=tmp_path / "file"))
