"""Pinned releases against a downloaded database of advisories: OSV's export for PyPI, one JSON file for each in a ZIP.

For machines that reach no database: the export is fetched where there is a network and carried here.
*Source*: google.github.io/osv.dev/data, "Data dumps"; ossf.github.io/osv-schema 1.7, "affected fields", "Evaluation".
"""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)")


@dataclass(frozen=True, slots=True, order=True)
class Advisory:
    """One advisory that a pinned release is affected by."""

    package: str
    version: str
    id: str
    summary: str


def pinned(lock: str) -> dict[str, str]:
    """Name -> version of a lock file's text."""
    found = (_PIN.match(line) for line in lock.splitlines())
    return {str(canonicalize_name(pin["name"])): pin["version"] for pin in found if pin}


def affected_by(database: Path, pins: Mapping[str, str]) -> list[Advisory]:
    """Every advisory that names one of the pins, sorted. Raises `zipfile.BadZipFile` and `ValueError`."""
    advisories = list(_read(database))
    if not advisories:
        raise ValueError("it holds no advisory")
    found = {
        Advisory(name, version, str(each["id"]), str(each.get("summary", "")))
        for each in advisories
        if not each.get("withdrawn")
        for name, version in _named(each, pins)
    }
    return sorted(found)


def _read(database: Path) -> Iterator[Mapping[str, Any]]:
    with zipfile.ZipFile(database) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def _named(advisory: Mapping[str, Any], pins: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for affected in advisory.get("affected", ()):
        package = affected.get("package", {})
        name = str(canonicalize_name(package.get("name", "")))
        version = pins.get(name)
        if package.get("ecosystem") == "PyPI" and version is not None and _is_affected(affected, version):
            yield name, version


def _is_affected(affected: Mapping[str, Any], version: str) -> bool:
    if version in affected.get("versions", ()):
        return True
    ranges = (each["events"] for each in affected.get("ranges", ()) if each.get("type") == "ECOSYSTEM")
    return any(_is_within(events, Version(version)) for events in ranges)


def _is_within(events: Iterable[Mapping[str, str]], version: Version) -> bool:
    """Go through the events in the order of their versions; what the last one before the version says holds."""
    is_within = False
    for at, what in sorted(_dated(events), key=lambda event: event[0]):
        if what == "introduced" and at <= version:
            is_within = True
        elif (what == "fixed" and at <= version) or (what == "last_affected" and at < version):
            is_within = False
    return is_within


def _dated(events: Iterable[Mapping[str, str]]) -> Iterator[tuple[Version, str]]:
    for event in events:
        for what, at in event.items():
            try:
                yield Version(at), what
            except InvalidVersion:
                continue
