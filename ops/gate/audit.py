"""`python ops/gate/audit.py [--database ZIP] LOCK...`: what is known against the releases in lock files.

    yanked releases    from the package index, as every install asks it
    advisories         from OSV's database: over the network with pip-audit, or from a downloaded export (`advisories`)

Exit status: 0 nothing is known, 1 something is, 3 no database of advisories could be asked, so that little was checked.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from ops.gate.advisories import affected_by, pinned

SERVICE = "https://api.osv.dev/v1/query"
EXPORT = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"
UV = Path(sys.executable).with_name("uv")
"""Fetches pip-audit for this run: it needs the network anyway, and eighteen packages that nothing else does."""
TIMEOUT_SECONDS = 10.0
FOUND, NOT_CHECKED = 1, 3


def main(arguments: list[str] | None = None) -> int:
    """Print what is found, lock by lock."""
    parser = argparse.ArgumentParser(description="What is known against the releases in lock files.")
    parser.add_argument("--database", type=Path, metavar="ZIP", help=f"OSV's export, downloaded from {EXPORT}")
    parser.add_argument("locks", nargs="+", type=Path, metavar="LOCK")
    given = parser.parse_args(arguments)
    codes = [code for lock in given.locks for code in (_yanked(lock), _advisories(lock, given.database))]
    return FOUND if FOUND in codes else max(codes)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _yanked(lock: Path) -> int:
    """Ask the index about every pin, as an install would, and install nothing."""
    options = ["--dry-run", "--no-deps", "--reinstall", "--require-hashes", "--python", sys.executable]
    done = subprocess.run(  # noqa: S603 - uv of this environment
        [str(UV), "pip", "install", *options, "--requirement", str(lock)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        _say(f"{lock}: the package index was not asked: {(done.stderr.strip().splitlines() or ['uv failed'])[-1]}")
        return NOT_CHECKED
    yanked = [line.removeprefix("warning: ") for line in done.stderr.splitlines() if " is yanked" in line]
    for line in yanked or ["no release is yanked"]:
        _say(f"{lock}: {line}")
    return FOUND if yanked else 0


def _advisories(lock: Path, database: Path | None) -> int:
    if database is not None:
        return _from_export(lock, database)
    if not _is_reachable():
        _say(f"{lock}: no advisory was checked: OSV's database is not reached from here; give --database, see --help")
        return NOT_CHECKED
    options = ["--vulnerability-service", "osv", "--disable-pip", "--require-hashes", "--requirement", str(lock)]
    command = [str(UV), "tool", "run", "--from", "pip-audit>=2.10", "pip-audit", *options]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - as above


def _from_export(lock: Path, database: Path) -> int:
    pins = pinned(lock.read_text(encoding="utf-8"))
    try:
        found = affected_by(database, pins)
    except (OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        _say(f"{lock}: no advisory was checked: {database} is not OSV's export ({type(error).__name__})")
        return NOT_CHECKED
    for each in found:
        _say(f"{lock}: {each.package} {each.version}: {each.id} {each.summary}")
    _say(f"{lock}: {len(pins)} releases, {len(found)} advisories")
    return FOUND if found else 0


def _is_reachable() -> bool:
    """Whether the service answers at all, whatever it answers."""
    try:
        urllib.request.urlopen(SERVICE, timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
