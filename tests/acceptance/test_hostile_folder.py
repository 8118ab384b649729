"""Every process, started from a folder whose files are named like Python's and every dependency's modules."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ops.bench.processes import free_port
from tests.support.wait import DEADLINE_SECONDS, wait_until
from workers.store import Store
from workers.store.progress import read_progress

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.acceptance, pytest.mark.cold_start]

GRADEQUEUE = Path(sys.executable).with_name("gradequeue")
CONFIGURATION = {"sitecustomize", "usercustomize", "celeryconfig", "flowerconfig"}
OURS = {"workers", "producer", "ops"}
SETTINGS = (
    "OPENAI_BASE_URL=http://127.0.0.1:9/v1\nDATABASE_URL=sqlite:////nowhere/evil.db\nREDIS_URL=redis://127.0.0.1:9/0\n"
)
NIGHTLY = '[[nightly]]\nname = "all"\nat = "02:30"\nbatches = ["*"]\nmodel = "other"\n'


def module_names() -> set[str]:
    """What the standard library and every installed distribution bring at top level."""
    names = {*sys.stdlib_module_names, *CONFIGURATION, *OURS}
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or ():
            if file.suffix in {".py", ".so"} and file.parts[0] != "..":
                names.add(file.parts[0].partition(".")[0])
    return {name for name in names if name.isidentifier()}


@dataclass
class HostileFolder:
    """Submissions that write a marker when they are imported, and settings that lead elsewhere."""

    folder: Path
    marker: Path
    data_dir: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "OPENAI_API_KEY": "sk-secret", "GRADEQUEUE_DATA_DIR": str(self.data_dir)}

    def run(self, *arguments: str, expect: int = 0) -> str:
        done = subprocess.run(
            [str(GRADEQUEUE), *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert done.returncode == expect, f"{arguments}\n{done.stdout}\n{done.stderr}\nimported: {self.imported()}"
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.data_dir.parent / f"{arguments[0]}.err").open("wb") as stderr:
            process = subprocess.Popen(
                [str(GRADEQUEUE), *arguments],
                cwd=self.folder,
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        self.started.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_SECONDS)
        return process.returncode

    def succeeded(self, batch: str) -> int:
        """Read straight from the store: a command takes seconds on a busy machine."""
        store = Store.open(f"sqlite:///{self.data_dir / 'gradequeue.db'}")
        try:
            with store.snapshot() as connection:
                return read_progress(connection, batch).succeeded
        finally:
            store.close()

    def imported(self) -> set[str]:
        return set(self.marker.read_text().split()) if self.marker.exists() else set()


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[HostileFolder]:
    hostile = HostileFolder(tmp_path / "submissions", tmp_path / "imported", tmp_path / "data")
    (hostile.folder / ".streamlit").mkdir(parents=True)
    for name in module_names():
        code = f"with open({str(hostile.marker)!r}, 'a') as marker:\n    marker.write('{name}\\n')\n"
        (hostile.folder / f"{name}.py").write_text(f"{code}raise SystemExit('{name} was imported')\n")
    (hostile.folder / ".env").write_text(SETTINGS)
    (hostile.folder / ".streamlit" / "secrets.toml").write_text('OPENAI_BASE_URL = "http://127.0.0.1:9/v1"\n')
    (hostile.folder / ".streamlit" / "config.toml").write_text('[server]\nbaseUrlPath = "hijacked"\n')
    (tmp_path / "prompt.md").write_text("Grade: {submission}")
    (tmp_path / "nightly.toml").write_text(NIGHTLY)
    (tmp_path / "work.jsonl").write_text('{"id": "a", "prompt": "x"}\n{"id": "b", "prompt": "y"}\n')
    yield hostile
    for process in hostile.started:
        process.kill()
        process.communicate()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def test_the_names_are_those_that_matter():
    names = module_names()
    assert len(names) > 350
    assert {"random", "queue", "uuid", "celery", "kombu", "pydantic", "click", "streamlit", "sitecustomize"} <= names


def test_a_run_on_the_folder_itself_imports_none_of_it_and_reads_no_settings_there(hostile: HostileFolder):
    said = hostile.run("run", ".", "--template", "../prompt.md", "--schema", "feedback", "--offline", "--name", "week")
    assert "succeeded" in said
    for command in (["status"], ["results", "week"], ["failures", "week"], ["schemas"], ["doctor", "--offline"]):
        hostile.run(*command)
    hostile.run("estimate", ".", "--template", "../prompt.md", "--schema", "feedback", "--model", "m")
    assert hostile.imported() == set()
    shared = [path for path in hostile.data_dir.rglob("*") if path.lstat().st_mode & 0o077]
    assert shared == [], "files of ours are the user's alone"


def test_every_process_that_serves_starts_and_stops_there(hostile: HostileFolder):
    hostile.data_dir.mkdir(mode=0o700)
    (hostile.data_dir / "input-folders").write_text(json.dumps(str(hostile.folder)) + "\n")
    standin = hostile.start("standin", "--port", "0")
    assert standin.stdout is not None
    base_url = json.loads(standin.stdout.readline())["base_url"]

    hostile.run("enqueue", "../work.jsonl", "--schema", "feedback", "--offline", "--name", "served")
    worker = hostile.start("worker", "--queues", "bulk", "--offline")
    wait_until(lambda: hostile.succeeded("served") == 2, "the worker has graded")
    port = free_port()
    page = hostile.start("dashboard", "--port", str(port), "--offline")
    wait_until(
        lambda: answers(f"http://127.0.0.1:{port}/_stcore/health"), "the page is up, at the address it should be"
    )
    beat = hostile.start("beat", "--nightly", "../nightly.toml", "--offline")
    wait_until((hostile.data_dir / "beat.alive").exists, "beat ticks")

    assert {hostile.stop(process) for process in (beat, page, worker, standin)} == {0}
    wait_until(lambda: not answers(f"{base_url}/models"), "the stand-in's server ended with its command")
    assert hostile.imported() == set()


@pytest.mark.parametrize("module", ["ops.deploy.healthcheck", "ops.deploy.flower_app"])
def test_what_the_containers_start_imports_none_of_it(hostile: HostileFolder, module: str):
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, "http", "nowhere"],
        cwd=hostile.folder,
        env={**hostile.environment(), "GRADEQUEUE_NO_SETTINGS_FILES": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in {1, 2}, "it says what is not set"
    assert hostile.imported() == set()


def test_a_guard_that_is_missing_is_seen(hostile: HostileFolder):
    """The folder does what it is made for: without the guard, the first import writes the marker."""
    subprocess.run(
        [sys.executable, "-m", "ops.deploy.healthcheck", "http", "nowhere"],
        cwd=hostile.folder,
        env=hostile.environment(),
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert hostile.imported() != set()
