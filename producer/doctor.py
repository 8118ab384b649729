"""What `gradequeue doctor` finds: each setting and where it came from, each service tried. Shows no secret."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import text

from workers.contract.errors import GradequeueError
from workers.publisher import Publisher
from workers.settings import Settings, SettingsError, setting_sources
from workers.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from producer.embedded import Services

PROVIDER_SECONDS = 10.0
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "glusterfs", "ceph"}
)
"""Their locks do not hold between hosts, and SQLite's journal needs shared memory."""
LEAST_FREE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report. `is_well` is None where there is nothing to judge."""

    subject: str
    value: str
    source: str = ""
    is_well: bool | None = None


def setting_findings(settings: Settings, given: Collection[str] = ()) -> Iterator[Finding]:
    """Every setting with its value, secrets hidden, and the source that won; `given` stood on the command line."""
    sources = setting_sources()
    for field, definition in Settings.model_fields.items():
        names = _environment_names(definition.validation_alias)
        found = next((sources[name] for name in names if name in sources), "default")
        source = "command line" if field in given else found
        yield Finding(subject=names[0], value=_shown(field, getattr(settings, field)), source=source)


def _environment_names(alias: object) -> list[str]:
    choices = getattr(alias, "choices", None)
    return [str(choice) for choice in choices] if choices else [str(alias)]


def _shown(field: str, value: object) -> str:
    if value is None:
        return "not set"
    if field == "openai_api_key":
        return "set (hidden)"
    return _without_password(str(value)) if field.endswith("_url") else str(value)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if not parts.password:
        return url
    netloc = f"{parts.username or ''}:***@{parts.hostname}{f':{parts.port}' if parts.port else ''}"
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def service_findings(settings: Settings, services: Services) -> Iterator[Finding]:
    """Broker, store and provider, each really tried."""
    yield _tried("python", lambda: f"{sys.version.split()[0]} on {sys.platform}")
    yield _tried("disk", lambda: _disk(settings.data_dir))
    yield _tried("broker", lambda: _broker(settings, services))
    yield _tried("store", lambda: _store(services.database_url))
    yield _tried("provider", lambda: _provider(settings))


def _tried(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject=subject, value=look(), is_well=True)
    except (GradequeueError, SettingsError, OSError, ValueError) as error:
        return Finding(subject=subject, value=str(error), is_well=False)


def _disk(data_dir: Path) -> str:
    folder = data_dir.expanduser().absolute()
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise ValueError(f"{folder}: only {free // 2**20} MiB free; make room or choose another --data-dir")
    return f"{folder}: {free // 2**30} GiB free"


def _broker(settings: Settings, services: Services) -> str:
    publisher = Publisher.connect(settings.model_copy(update={"redis_url": services.redis_url}))
    try:
        publisher.ping()
    finally:
        publisher.close()
    return "embedded Valkey answers" if services.broker else f"{_without_password(services.redis_url)} answers"


def _store(url: str) -> str:
    store = Store.open(url)
    try:
        store.migrate()
        if store.is_sqlite:
            return _sqlite(store, Path(store.engine.url.database or ""))
        with store.snapshot() as connection:
            version = connection.execute(text("SHOW server_version")).scalar()
    finally:
        store.close()
    return f"PostgreSQL {version}"


def _sqlite(store: Store, file: Path) -> str:
    file_system = file_system_of(file)
    if file_system in NETWORK_FILE_SYSTEMS:
        raise ValueError(f"SQLite on the network file system {file_system}: set DATABASE_URL to PostgreSQL")
    with store.snapshot() as connection:
        journal = connection.execute(text("PRAGMA journal_mode")).scalar()
    return f"SQLite {sqlite3.sqlite_version}, journal {journal}, file system {file_system or 'unknown'}: {file}"


def file_system_of(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The type of the file system that holds the path, None where the system does not say."""
    try:
        entries = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return None
    target = str(path.absolute())
    holding = [
        (len(entry[1]), entry[2])
        for entry in entries
        if len(entry) > 2 and (target + os.sep).startswith(entry[1].rstrip("/") + os.sep)  # noqa: PLR2004 - fields
    ]
    return max(holding)[1] if holding else None


def _provider(settings: Settings) -> str:
    """Ask for the list of models: free, and refused when the key is."""
    if settings.offline:
        return "the stand-in; grades are not real"
    if settings.openai_api_key is None:
        raise ValueError("OPENAI_API_KEY is not set")
    base_url = (settings.openai_base_url or "https://api.openai.com/v1").rstrip("/")
    if urlsplit(base_url).scheme not in {"http", "https"}:
        raise ValueError("OPENAI_BASE_URL must look like https://host/v1")
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        f"{base_url}/models",
        headers={"authorization": f"Bearer {settings.openai_api_key.get_secret_value()}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PROVIDER_SECONDS) as answer:  # noqa: S310 - as above
            listed = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise ValueError(f"{settings.provider} answers {error.code}: check OPENAI_API_KEY") from None
    except OSError:
        raise ValueError(f"{settings.provider} cannot be reached; check OPENAI_BASE_URL and the network") from None
    models = listed.get("data", []) if isinstance(listed, dict) else []
    return f"{settings.provider} answers, {len(models)} models"
