"""Who may upload and who may guess the page's password: strangers are refused before anything is kept for them."""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from ops.bench.processes import free_port
from producer.cli import dashboard as command
from producer.page.door import FREE_GUESSES, LONGEST_WAIT_SECONDS, GuessThrottle, UploadDoor, admitted
from producer.page.limits import MAX_HELD_MIB, MAX_UPLOAD_MIB
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def throttle() -> tuple[GuessThrottle, Clock]:
    clock = Clock()
    return GuessThrottle(clock=clock), clock


def test_wrong_guesses_delay_their_own_address_and_no_other():
    guesses, _clock = throttle()
    for _ in range(15):
        guesses.failed("10.0.0.1")

    assert guesses.wait_seconds("10.0.0.1") > 10
    assert guesses.wait_seconds("10.0.0.2") == 0
    assert guesses.wait_seconds(None) == 0


def test_some_mistakes_cost_no_wait_and_the_wait_is_bounded():
    guesses, clock = throttle()
    for _ in range(FREE_GUESSES - 1):
        guesses.failed("10.0.0.1")
    assert guesses.wait_seconds("10.0.0.1") == 0
    for _ in range(100):
        guesses.failed("10.0.0.1")
    assert guesses.wait_seconds("10.0.0.1") == LONGEST_WAIT_SECONDS
    clock.now += LONGEST_WAIT_SECONDS
    assert guesses.wait_seconds("10.0.0.1") == 0


def test_the_right_password_and_time_clear_what_was_counted():
    guesses, clock = throttle()
    for address in ("10.0.0.1", "10.0.0.2"):
        for _ in range(10):
            guesses.failed(address)
    guesses.succeeded("10.0.0.1")
    assert guesses.wait_seconds("10.0.0.1") == 0
    clock.now += 3600
    guesses.failed("10.0.0.2")
    assert guesses.wait_seconds("10.0.0.2") == 0


def test_the_addresses_of_one_ipv6_network_are_one_and_the_memory_is_bounded():
    guesses, _clock = throttle()
    for number in range(10):
        guesses.failed(f"2001:db8::{number:x}")
    assert guesses.wait_seconds("2001:db8::ffff") > 0
    for number in range(12_000):
        guesses.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(guesses._guesses) == 10_000


def ask(path: str, *, method: str = "PUT", length: int | None = 10, is_open: bool = False) -> tuple[int, list[str]]:
    """The status, and what reached the application behind the door. The body is never read by the door."""
    reached: list[str] = []
    sent: list[dict[str, Any]] = []

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def receive() -> dict[str, Any]:
        raise AssertionError("the door reads no body")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(UploadDoor(application, is_open=lambda: is_open)(scope, receive, send))
    return sent[0]["status"], reached


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
@pytest.mark.parametrize("base", ["", "/base"])
def test_a_session_without_the_password_uploads_nothing(method: str, base: str):
    assert ask(f"{base}/_stcore/upload_file/stranger/f", method=method) == (403, [])


def test_a_session_that_gave_the_password_uploads_and_everything_else_passes():
    admitted.add("guest")
    assert ask("/_stcore/upload_file/guest/f")[0] == 204
    assert ask("/_stcore/upload_file/anybody/f", is_open=True)[0] == 204
    assert ask("/_stcore/health", method="GET")[0] == 204
    assert ask("/_stcore/upload_file/stranger/f", method="OPTIONS")[0] == 204


def test_an_upload_is_refused_by_its_length_before_it_is_read(monkeypatch: pytest.MonkeyPatch):
    path = "/_stcore/upload_file/anybody/f"
    assert ask(path, length=None, is_open=True) == (411, [])
    assert ask(path, length=(MAX_UPLOAD_MIB + 1) * 2**20, is_open=True) == (413, [])
    monkeypatch.setattr("producer.page.door._held_bytes", lambda: MAX_HELD_MIB * 2**20)
    assert ask(path, is_open=True) == (503, [])


@pytest.fixture
def page(tmp_path: Path) -> Iterator[int]:
    """The page as it is served, with a password; its port."""
    port = free_port()
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'store.db'}",
        "GRADEQUEUE_DASHBOARD_PASSWORD": "a long secret",
        "GRADEQUEUE_DATA_DIR": str(tmp_path / "data"),
    }
    arguments = ["dashboard", "--port", str(port), "--address", "127.0.0.1", "--offline"]
    process = subprocess.Popen(
        [sys.executable, "-m", "producer.cli.main", *arguments],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: _answers(port), "the page answers")
        yield port
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).close()
    except OSError:
        return False
    return True


def _session_of(connection: Any) -> str:
    """The id that the server gives a browser, as a stranger gets it too."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    begin = BackMsg()
    begin.rerun_script.query_string = ""
    connection.send(begin.SerializeToString())
    while True:
        message = ForwardMsg()
        message.ParseFromString(connection.recv(timeout=30))
        if message.WhichOneof("type") == "new_session":
            return str(message.new_session.initialize.session_id)


def test_the_served_page_refuses_a_strangers_upload_with_a_live_session(page: int):
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{page}/_stcore/stream", subprotocols=["streamlit"]) as connection:
        session_id = _session_of(connection)
        assert session_id
        upload = http.client.HTTPConnection("127.0.0.1", page, timeout=10)
        upload.request("PUT", f"/_stcore/upload_file/{session_id}/{'0' * 32}", body=b"x" * 1000)
        answer = upload.getresponse()
        assert (answer.status, answer.read()) == (403, b"enter the password first")
        upload.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--address", "0.0.0.0"], "set GRADEQUEUE_DASHBOARD_PASSWORD"),  # noqa: S104 - what is refused
        (["--ssl-cert", "cert.pem"], "give --ssl-cert and --ssl-key together"),
        (["--ssl-cert", "none.pem", "--ssl-key", "none.pem"], "cannot be read"),
    ],
)
def test_an_open_door_or_a_broken_certificate_is_refused(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "serve_page", lambda *_, **__: 0)
    done = CliRunner().invoke(command.dashboard, [*arguments, "--data-dir", str(tmp_path / "data")])

    assert done.exit_code == 2
    assert sentence in " ".join(done.output.split())


def test_the_real_address_is_printed_and_a_page_without_tls_is_warned_of(capsys: pytest.CaptureFixture[str]):
    command.say_where(command.EVERYWHERE, 8501, has_tls=False)
    shown = " ".join(capsys.readouterr().err.split())
    assert f"http://{command._own_address()}:8501 (on every interface)" in shown
    assert "warning: without TLS" in shown

    command.say_where(command.EVERYWHERE, 8501, has_tls=True)
    command.say_where(command.LOOPBACK, 8501, has_tls=False)
    assert "warning" not in capsys.readouterr().err
