"""On a machine with other users: what is not this user's alone is refused with its cure, and nobody waits for ever."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from producer.local import embedded
from producer.local.data_folder import DataFolder, check_store_file
from producer.local.embedded import EmbeddedBroker, join_services
from tests.support.wait import DEADLINE_SECONDS
from workers.contract.errors import ServiceUnavailable
from workers.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
NOBODY = 65534
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as two users")


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o770, 0o702])
def test_a_data_folder_that_others_can_use_is_refused_with_the_command_that_closes_it(mode: int, tmp_path: Path):
    folder = tmp_path / "it's data"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ServiceUnavailable, match="other users") as refused:
        DataFolder.of(folder).prepare()
    command = str(refused.value).partition("run: ")[2].partition(", or")[0]
    subprocess.run(["sh", "-c", command], check=True)

    assert DataFolder.of(folder).prepare().path == folder


def test_what_is_made_in_a_new_data_folder_is_this_users_alone(tmp_path: Path):
    before = os.umask(0)
    try:
        services = join_services(load_settings(data_dir=tmp_path / "new"))
    finally:
        os.umask(before)
    services.leave()
    made = [tmp_path / "new", *(tmp_path / "new").iterdir()]

    assert len(made) > 2
    assert [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_a_store_elsewhere_that_others_can_read_is_refused(tmp_path: Path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    file = folder / "grades.db"
    file.touch(0o644)
    with pytest.raises(ServiceUnavailable, match="chmod 600"):
        check_store_file(f"sqlite:///{file}")
    folder.chmod(0o700)
    check_store_file(f"sqlite:///{file}")
    check_store_file("postgresql://host/name")


@needs_root
def test_a_folder_or_a_file_of_another_user_is_refused_with_the_command_that_takes_it_over(tmp_path: Path):
    folder = DataFolder.of(tmp_path / "data").prepare().path
    lock = folder / "broker.lock"
    lock.touch()
    os.chown(lock, NOBODY, -1)
    with pytest.raises(ServiceUnavailable, match=r"broker\.lock belongs to the user .*sudo chown -R"):
        DataFolder.of(folder).check()
    os.chown(folder, NOBODY, -1)
    with pytest.raises(ServiceUnavailable, match=r"data belongs to the user .*sudo chown -R"):
        join_services(load_settings(data_dir=folder))


@needs_root
def test_a_socket_folder_that_another_user_made_first_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", tempfile.mkdtemp(prefix="gq-"))
    data_dir = DataFolder.of(tmp_path / "data").prepare().path
    folder = embedded._socket_path(data_dir).parent
    os.chown(folder, NOBODY, -1)
    with pytest.raises(ServiceUnavailable, match=r"made .*; set TMPDIR to a folder of your own"):
        EmbeddedBroker.join(data_dir)


def test_a_socket_folder_that_others_can_use_and_a_path_that_is_too_long_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", tempfile.mkdtemp(prefix="gq-"))
    embedded._socket_path(tmp_path).parent.chmod(0o755)
    with pytest.raises(ServiceUnavailable, match="run: rm -rf"):
        embedded._socket_path(tmp_path)
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(ServiceUnavailable, match="set TMPDIR to a shorter path"):
        embedded._socket_path(tmp_path)


def test_a_lock_that_somebody_keeps_is_waited_for_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded, "LOCK_SECONDS", 0.2)
    with (tmp_path / "broker.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ServiceUnavailable, match="another process holds"):
            EmbeddedBroker.join(tmp_path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="gq-shared-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@needs_root
@pytest.mark.parametrize("command", [["status"], ["doctor"]])
def test_another_users_command_gets_one_sentence_and_waits_for_nothing(command: list[str], open_folder: Path):
    DataFolder.of(open_folder / "data").prepare()
    script = (
        f"import os, sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        # loaded as root: another user need not see this interpreter's packages
        "import producer.cli.status, producer.cli.doctor, producer.cli.session, producer.local.doctor, producer.batch\n"
        "import producer.local.broker_watch, producer.terminal.tables, producer.terminal.display\n"
        "from producer.cli.commands import cli\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        f"cli({[*command, '--data-dir', str(open_folder / 'data')]!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        cwd=open_folder,
        check=False,
    )

    assert done.returncode == 3, done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
