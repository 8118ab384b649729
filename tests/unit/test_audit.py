"""What is known against a lock file's releases, out of a downloaded database of advisories."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from ops.gate.advisories import affected_by, pinned
from ops.gate.audit import main

if TYPE_CHECKING:
    from pathlib import Path

LOCK = """\
jinja2==3.1.2 \\
    --hash=sha256:00
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:00
celery[redis]==5.7.1
    # via gradequeue
"""


def advisory(name: str, *, withdrawn: bool = False, ecosystem: str = "PyPI", **affected: object) -> dict[str, object]:
    return {
        "id": f"TEST-{name}",
        "summary": "made up",
        "affected": [{"package": {"ecosystem": ecosystem, "name": name}, **affected}],
        **({"withdrawn": "2026-01-01T00:00:00Z"} if withdrawn else {}),
    }


def within(*events: dict[str, str]) -> dict[str, object]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}


def export(folder: Path, *advisories: dict[str, object]) -> Path:
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, each in enumerate(advisories):
            archive.writestr(f"{number}.json", json.dumps(each))
    return path


def test_pins_are_read_with_their_markers_and_extras():
    assert pinned(LOCK) == {"jinja2": "3.1.2", "colorama": "0.4.6", "celery": "5.7.1"}


@pytest.mark.parametrize(
    ("affected", "is_affected"),
    [
        ({"versions": ["3.1.1", "3.1.2"]}, True),
        ({"versions": ["3.1.1"]}, False),
        (within({"introduced": "0"}, {"fixed": "3.1.3"}), True),
        (within({"introduced": "0"}, {"fixed": "3.1.2"}), False),
        (within({"introduced": "0"}, {"last_affected": "3.1.2"}), True),
        (within({"introduced": "0"}, {"fixed": "2.0"}, {"introduced": "3.1"}, {"fixed": "3.1.10"}), True),
        (within({"introduced": "3.1.10"}), False),
        (within({"introduced": "0"}), True),
    ],
)
def test_a_release_is_affected_as_its_versions_or_ranges_say(
    tmp_path: Path, affected: dict[str, object], *, is_affected: bool
):
    database = export(tmp_path, advisory("Jinja2", **affected))
    assert [each.id for each in affected_by(database, pinned(LOCK))] == ["TEST-Jinja2"] * is_affected


def test_what_was_withdrawn_or_concerns_another_ecosystem_is_left_out(tmp_path: Path):
    everything = within({"introduced": "0"})
    database = export(
        tmp_path,
        advisory("celery", withdrawn=True, **everything),
        advisory("celery", ecosystem="npm", **everything),
        advisory("requests", **everything),
    )
    assert affected_by(database, pinned(LOCK)) == []


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (None, 3, "no advisory was checked"),
        ([], 3, "no advisory was checked"),
        ([advisory("other", versions=["1"])], 0, "3 releases, 0 advisories"),
        ([advisory("celery", versions=["5.7.1"])], 1, "celery 5.7.1: TEST-celery made up"),
    ],
)
def test_the_exit_status_tells_nothing_known_from_nothing_checked(
    tmp_path: Path,
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: list[dict[str, object]] | None,
    status: int,
    says: str,
):
    monkeypatch.setattr("ops.gate.audit._yanked", lambda _lock: 0)
    lock = tmp_path / "a.lock"
    lock.write_text(LOCK)
    database = tmp_path / "none.zip" if content is None else export(tmp_path, *content)
    assert main(["--database", str(database), str(lock)]) == status
    assert says in capsys.readouterr().out
