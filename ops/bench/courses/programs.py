"""Fifty real programs graded, regraded, applied and undone by the installed command: `--programs FOLDER`.

What must hold: every official grade is restored exactly, and every step is in the audit log.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.bench.processes import REPOSITORY, end, standin

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = 50
APPROVED, CORRECTED, HELD = 30, 5, 5
FINISH_SECONDS = 120.0
TEMPLATE = "Assess this program.\n\n{code}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoResult:
    """What became of the official grades."""

    applied: int
    moved: int
    """Official grades that were others while the regrade held."""
    restored: bool
    actions: dict[str, int]
    """Of the audit log."""

    @property
    def is_right(self) -> bool:
        """Everything restored, every step on record."""
        expected = {"approve": APPROVED, "hold": HELD, "override": CORRECTED + self.applied, "undo": self.applied}
        return self.restored and self.applied > 0 and self.actions == expected


def regrade_and_undo(data: Path) -> UndoResult:
    """Grade, decide, regrade, apply, undo; `data` holds `*_q1.jsonl` and the rubrics."""
    [programs] = data.glob("*_q1.jsonl")
    lines = list(islice(programs.read_text(encoding="utf-8").splitlines(), PROGRAMS))
    ids = [str(json.loads(line)["id"]) for line in lines]
    with tempfile.TemporaryDirectory(prefix="gq-undo-") as name, standin("--scatter", "0.8") as provider:
        command = _Command(Path(name), provider.base_url)
        (command.folder / "programs.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (command.folder / "template.md").write_text(TEMPLATE)
        command(
            "run", "programs.jsonl", "--template", "template.md", "--schema", "feedback", "--model", "gpt-6.1-terra",
            "--name", "week", "--no-twins",
        )  # fmt: skip
        command("approve", "week", *ids[:APPROVED])
        for item_id in ids[APPROVED : APPROVED + CORRECTED]:
            command("override", "week", item_id, "--set", "score=42", "--reason", "seen")
        command("hold", "week", *ids[APPROVED + CORRECTED : APPROVED + CORRECTED + HELD])
        before = command.officials()
        command("regrade", "week", "--model", "gpt-6-luna", "--name", "again")
        with command.worker():
            command.wait_for("again")
        applied = command("apply", "week", "again", "--yes", "--reason", "the newer model")
        between = command.officials()
        command("undo", "week", "--from", "again")
        command("undo", "week", "--from", "again")  # the same command twice undoes once
        after = command.officials()
        record = [json.loads(line) for line in command("audit", "week", "--json").splitlines()]
    taken = sum(entry["action"] == "override" and entry["detail"] == "from again" for entry in record)
    return UndoResult(
        applied=taken if f"{taken} made official" in applied else 0,
        moved=sum(between[item_id] != before[item_id] for item_id in ids),
        restored=after == before and len(before) == PROGRAMS,
        actions=dict(Counter(str(entry["action"]) for entry in record)),
    )


class _Command:
    """The installed command in a data folder of its own."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.folder = folder
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GRADEQUEUE_", "OPENAI"))}
        own = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-standin", "GRADEQUEUE_REVIEWER": "Kim"}
        self._environment = kept | own
        self._path = str(REPOSITORY / ".venv/bin/gradequeue")

    def __call__(self, *arguments: str) -> str:
        """Run it; returns what it printed. Raises `SystemExit` on wrong use or a missing service."""
        done = subprocess.run(
            [self._path, *arguments, "--data-dir", "data"],
            cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode not in {0, 1}:
            raise SystemExit(f"{arguments[0]}: status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def officials(self) -> dict[str, Any]:
        """Item id -> state and official grade."""
        lines = map(json.loads, self("review", "week", "--json").splitlines())
        return {line["id"]: (line["review"]["state"], line["review"]["official"]) for line in lines}

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker of the bulk queue, ended afterwards."""
        process = subprocess.Popen(
            [self._path, "worker", "--queues", "bulk", "--data-dir", "data"],
            cwd=self.folder, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            end(process)

    def wait_for(self, batch: str) -> None:
        """Until every item has ended."""
        deadline = time.monotonic() + FINISH_SECONDS
        while time.monotonic() < deadline:
            if len(self("review", batch, "--json").splitlines()) == PROGRAMS:
                return
            time.sleep(1.0)
        raise SystemExit(f"{batch} did not finish within {FINISH_SECONDS:g} s")
