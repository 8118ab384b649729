"""What `gradequeue doctor` reports: each setting and its source, and each service, really called. Shows no secret."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psutil
from sqlalchemy import text

from producer.local.data_folder import DataFolder
from producer.local.named_models import named_models
from producer.local.notified import notification_looks
from producer.local.provider_models import listed_models, shutdown_date
from producer.local.store_growth import recount_line, size_line
from producer.terminal.notices import day_cap_notices
from workers.contract.account import DEFAULT_ACCOUNT
from workers.contract.errors import GradequeueError
from workers.contract.notification import shown_target, targets_of
from workers.publisher import Publisher
from workers.settings import Settings, SettingsError
from workers.settings.serving import same_accounts, served_accounts, unserved_accounts
from workers.store import Store
from workers.store.worker_reports import day_caps_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from producer.local.embedded import Services

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "9p", "fuse.sshfs", "afs", "glusterfs", "ceph"}
)
"""Their locks do not hold between hosts, and SQLite's journal needs shared memory. Linux and macOS names."""
_NO_URL = "set, but it is no URL; not shown, because it may hold a password"
_SHOWN_OPTIONS = frozenset({"db", "protocol", "sslmode", "ssl_cert_reqs", "connect_timeout", "api-version"})
LEAST_FREE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report. `is_well` is None for a line that cannot be wrong."""

    subject: str
    value: str
    source: str = ""
    is_well: bool | None = None


def setting_findings(settings: Settings, given: Collection[str] = ()) -> Iterator[Finding]:
    """Every setting with its value, secrets hidden, and the source that won; `given` came from the command line."""
    sources = settings.sources
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
    if field == "notify":
        return ", ".join(map(shown_target, targets_of([str(value)])))
    return _shown_url(str(value)) if field.endswith("_url") else str(value)


def _shown_url(url: str) -> str:
    """Without a password or key, wherever the URL holds one; what is no URL may be all password, and is not shown."""
    try:
        parts = urlsplit(url)
        place = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return _NO_URL
    if "://" not in url or (not parts.hostname and "@" in url):
        return _NO_URL
    login = f"{parts.username or ''}:***@" if parts.password else f"{parts.username}@" if parts.username else ""
    options = (option.partition("=") for option in parts.query.split("&") if option)
    query = "&".join(f"{name}={value if name in _SHOWN_OPTIONS else '***'}" for name, _sign, value in options)
    return urlunsplit((parts.scheme, f"{login}{place}", parts.path, query, ""))


def service_findings(
    settings: Settings, services: Services, *, kit: Path | None = None, recounts: bool = False
) -> Iterator[Finding]:
    """Broker, store and provider, each after a real call; then models that end soon, and notifications.

    `recounts` compares the store's counters with its rows, which takes a minute for some million rows.
    """
    yield _tried("python", lambda: f"{sys.version.split()[0]} on {sys.platform}")
    yield _tried("disk", lambda: _disk(settings.data_dir))
    yield from _broker(settings, services)
    caps: list[str] = []
    of_store = _tried("store", lambda: _store(services.database_url, caps))
    yield of_store
    if of_store.is_well:
        yield _tried("size", lambda: _looked_at(services.database_url, size_line))
        if recounts:
            yield _tried("counters", lambda: _looked_at(services.database_url, recount_line))
    for notice in caps:
        yield Finding(subject="workers", value=notice, source="GRADEQUEUE_MAX_USD_PER_DAY")
    listed: dict[str, Mapping[str, object]] = {}
    if settings.provider in {each.provider for each in served_accounts(settings)}:
        yield _tried("provider", lambda: _provider(settings, listed))
    yield from _accounts(settings)
    yield from _models(settings, services.database_url, kit, listed)
    for subject, look in notification_looks(settings, services.database_url):
        yield _tried(subject, look)


def _tried(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject=subject, value=look(), is_well=True)
    except (GradequeueError, SettingsError, OSError, ValueError) as error:
        return Finding(subject=subject, value=str(error), is_well=False)


def _disk(data_dir: Path) -> str:
    folder = DataFolder.of(data_dir).path
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise ValueError(f"{folder}: only {free // 2**20} MiB free; make room or choose another --data-dir")
    return f"{folder}: {free // 2**30} GiB free"


def _broker(settings: Settings, services: Services) -> Iterator[Finding]:
    """Every command that workers need, tried: one finding, or one for each command that is refused."""
    refused: list[str] = []

    def look() -> str:
        publisher = Publisher.connect(services.apply_to(settings))
        try:
            publisher.ping()
            refused.extend(publisher.refusals())
        finally:
            publisher.close()
        if refused:
            raise ValueError(refused[0])
        return f"{'embedded Valkey' if services.broker else _shown_url(services.redis_url)} does all that workers need"

    yield _tried("broker", look)
    for sentence in refused[1:]:
        yield Finding(subject="broker", value=sentence, is_well=False)


def _store(url: str, caps: list[str]) -> str:
    """Fills `caps` with what is to be said of day caps that differ from worker to worker."""
    store = Store.open(url)
    try:
        store.prepare()
        with store.snapshot() as connection:
            caps.extend(day_cap_notices(day_caps_kept(connection)))
        if store.is_sqlite:
            return _sqlite(store, Path(store.engine.url.database or ""))
        with store.snapshot() as connection:
            version = connection.execute(text("SHOW server_version")).scalar()
    finally:
        store.close()
    return f"PostgreSQL {version}"


def _looked_at(url: str, look: Callable[[Store], str]) -> str:
    store = Store.open(url)
    try:
        return look(store)
    finally:
        store.close()


def _sqlite(store: Store, file: Path) -> str:
    file_system = file_system_of(file)
    if file_system in NETWORK_FILE_SYSTEMS:
        raise ValueError(f"SQLite on the network file system {file_system}: set DATABASE_URL to PostgreSQL")
    with store.snapshot() as connection:
        journal = connection.execute(text("PRAGMA journal_mode")).scalar()
    return f"SQLite {sqlite3.sqlite_version}, journal {journal}, file system {file_system or 'unknown'}: {file}"


def file_system_of(path: Path) -> str | None:
    """The type of the file system that holds the path, None where the system does not say."""
    target = path.absolute().resolve()
    holding = [part for part in psutil.disk_partitions(all=True) if target.is_relative_to(part.mountpoint)]
    innermost = sorted(holding, key=lambda part: len(part.mountpoint))[-1:]  # of two at one place, the one on top
    return str(innermost[0].fstype) if innermost else None


def _provider(settings: Settings, listed: dict[str, Mapping[str, object]]) -> str:
    """Ask for the list of models: free, and refused when the key is. Fills `listed`, model -> entry."""
    if settings.offline:
        return "the stand-in; grades are test data"
    listed.update({str(entry.get("id")): entry for entry in listed_models(settings)})
    answer = f"{settings.provider} answers, {len(listed)} models"
    if settings.model is not None and listed and settings.model not in listed:
        raise ValueError(f"{answer}, but {settings.model} (GRADEQUEUE_MODEL) is none of them; see: gradequeue models")
    return answer


def _accounts(settings: Settings) -> Iterator[Finding]:
    """The accounts beside the one that the line before is about, each asked for its models as well."""
    asked = {settings.provider}
    for each in served_accounts(settings):
        if each.provider not in asked:
            yield _tried(f"account {each.account or DEFAULT_ACCOUNT}", partial(_provider, each, {}))
    for name, missing in unserved_accounts(settings).items():
        yield Finding(subject=f"account {name}", value=f"workers here do not serve it: {missing}", is_well=None)
    for first, second in same_accounts(settings):
        notice = f"{first} and {second} have one key at one server: together they spend its limits twice; keep one"
        yield Finding(subject="accounts", value=notice, is_well=False)


def _models(
    settings: Settings, store_url: str, kit: Path | None, listed: Mapping[str, Mapping[str, object]]
) -> Iterator[Finding]:
    found = named_models(settings, store_url, kit=kit)
    for place, reason in found.unread.items():
        yield Finding(subject="models", value=reason, source=place)
    try:
        told = {model: shutdown_date(entry) for model, entry in listed.items()}
        for model, notice, where in found.endings(settings, told):
            yield Finding(subject=f"model {model}", value=notice, source=where)
    except GradequeueError as error:
        yield Finding(subject="models", value=str(error), source="GRADEQUEUE_MODEL_PROFILES", is_well=False)
    for model in [model for model in found.places if listed and model not in {*listed, settings.model}]:
        yield Finding(subject=f"model {model}", value="the provider does not list it", source=found.where(model))
