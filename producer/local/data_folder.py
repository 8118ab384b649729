"""The data folder: every path in it once, and the check that student work there is this user's alone."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from workers.contract.errors import ServiceUnavailable

OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The folder, and every path in it that the producer uses."""

    path: Path

    @classmethod
    def of(cls, data_dir: Path) -> DataFolder:
        """The data folder of this setting; touches nothing on disk."""
        return cls(data_dir.expanduser().absolute())

    @property
    def store_file(self) -> Path:
        """The embedded store."""
        return self.path / "gradequeue.db"

    @property
    def store_url(self) -> str:
        """DATABASE_URL of the embedded store."""
        return f"sqlite:///{self.store_file}"

    @property
    def logs(self) -> Path:
        """Where worker processes write their logs."""
        return self.path / "logs"

    @property
    def beat_alive(self) -> Path:
        """Touched by a running `gradequeue beat`."""
        return self.path / "beat.alive"

    @property
    def broker_pid(self) -> Path:
        """Written by the embedded broker while it runs."""
        return self.path / "broker.pid"

    @property
    def broker_log(self) -> Path:
        """The embedded broker's log."""
        return self.path / "broker.log"

    @property
    def broker_lock(self) -> Path:
        """Held while the embedded broker is started or stopped."""
        return self.path / "broker.lock"

    @property
    def broker_users(self) -> Path:
        """Locked by every process that uses the embedded broker."""
        return self.path / "broker.users"

    def prepare(self) -> DataFolder:
        """Make the folder when it is missing; raises `ServiceUnavailable("disk", ...)` unless it is ours to write."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.check()
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            message = f"the data folder {self.path} cannot be written: {error.strerror}; choose another"
            raise _refused(message) from None
        return self

    def check(self) -> None:
        """Raises `ServiceUnavailable` when others own the folder or a file in it, or may read it."""
        status = self.path.stat()
        if status.st_uid != os.getuid():
            raise _belongs_to(self.path, status.st_uid)
        if status.st_mode & OTHERS:
            raise _refused(
                f"other users of this machine can read or write the data folder {self.path}, which holds student work; "
                f"run: chmod 700 {shlex.quote(str(self.path))}, or choose another"
            )
        for file in sorted(self.path.iterdir()):
            owner = _owner(file)
            if owner is not None and owner != os.getuid():
                raise _belongs_to(file, owner)


def check_store_file(database_url: str) -> None:
    """Raises `ServiceUnavailable` when other users can read the SQLite file of this URL, or the URL is not usable."""
    from workers.store.url import store_url  # noqa: PLC0415 - SQLAlchemy costs 0.2 s, and a data folder needs none

    url = store_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    file = Path(url.database).absolute()
    try:
        found, folder = file.stat(), file.parent.stat()
    except OSError:
        return
    is_reachable = folder.st_mode & (stat.S_IXGRP | stat.S_IXOTH)
    if found.st_mode & OTHERS and is_reachable:
        quoted = shlex.quote(str(file))
        raise _refused(f"other users of this machine can read the store {file}; run: chmod 600 {quoted}*", hint=False)


def owner_name(uid: int) -> str:
    """The user's name, or the number of a user who has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owner(file: Path) -> int | None:
    try:
        return file.lstat().st_uid
    except OSError:
        return None  # deleted in the meantime: a journal, a lock


def _belongs_to(path: Path, uid: int) -> ServiceUnavailable:
    me = owner_name(os.getuid())
    command = f"sudo chown -R {me} {shlex.quote(str(path))}"
    return _refused(
        f"{path} belongs to the user {owner_name(uid)}, and you are {me}; run: {command}, or choose another"
    )


def _refused(what: str, *, hint: bool = True) -> ServiceUnavailable:
    return ServiceUnavailable("disk", f"{what} with --data-dir" if hint else what)
