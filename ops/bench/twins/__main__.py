"""Whether identical work gets identical grades, and what that saves: `python -m ops.bench.twins --data FOLDER`.

The programs of `*_q1.jsonl` (id, code) are graded twice by the installed command, with twins and with `--no-twins`,
by a stand-in whose grades scatter from call to call. Exit status 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ops.bench.processes import REPOSITORY, standin
from workers.contract.twins import TwinRule

MODEL = "gpt-6.1-terra"
LEAST_SAVED = 0.30
TEMPLATE = "Grade this program.\n\n{code}\n"


def main() -> int:
    """Grade twice, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.twins")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--jobs", type=int, help="the first so many programs [default: all]")
    parser.add_argument("--scatter", default="0.5")
    options = parser.parse_args()
    [programs] = options.data.glob("*_q1.jsonl")
    rows = [json.loads(line) for line in programs.read_text(encoding="utf-8").splitlines()][: options.jobs]
    rows = [{"id": str(number), "code": row["code"]} for number, row in enumerate(rows) if row["code"].strip()]
    with tempfile.TemporaryDirectory(prefix="gq-twins-") as name, standin("--scatter", options.scatter) as provider:
        folder = Path(name)
        (folder / "programs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "template.md").write_text(TEMPLATE)
        alone = _graded(folder, provider.base_url, "--no-twins")
        requests = provider.stats()
        provider.reset()
        twins = _graded(folder, provider.base_url)
        fewer = provider.stats()
    groups = _groups(rows)
    before, after = _requests(requests), _requests(fewer)
    saved = 1 - after / before
    early = _followers_before_leaders(twins)
    print(f"{len(rows)} programs, {len(groups)} groups of identical work, scatter {options.scatter}")
    print(f"groups with different results: {_different(groups, alone)} without twins, {_different(groups, twins)} with")
    print(f"requests: {before} without, {after} with: {saved:.1%} fewer (at least {LEAST_SAVED:.0%})")
    print(f"followers with an outcome before their leader's: {early}")
    return 0 if not _different(groups, twins) and saved >= LEAST_SAVED and not early else 1


def _graded(folder: Path, base_url: str, *more: str) -> dict[str, dict[str, Any]]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GRADEQUEUE_", "OPENAI"))}
    environment |= {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-standin"}
    command = str(REPOSITORY / ".venv/bin/gradequeue")
    name = "alone" if more else "twins"
    run = [command, "run", "programs.jsonl", "--template", "template.md", "--schema", "feedback", "--model", MODEL,
           "--name", name, "--data-dir", name, *more]  # fmt: skip
    done = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:
        raise SystemExit(f"status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    export = [command, "export", name, "--data-dir", name]
    written = subprocess.run(export, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return {row["id"]: row for row in map(json.loads, written.stdout.splitlines())}


def _requests(stats: dict[str, Any]) -> int:
    return int(stats["answered"])


def _groups(rows: list[dict[str, str]]) -> list[list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[TwinRule.EXACT.normal(row["code"])].append(row["id"])
    return [ids for ids in found.values() if len(ids) > 1]


def _different(groups: list[list[str]], results: dict[str, dict[str, Any]]) -> int:
    return sum(len({json.dumps(results[each].get("result"), sort_keys=True) for each in ids}) > 1 for ids in groups)


def _followers_before_leaders(results: dict[str, dict[str, Any]]) -> int:
    followers = [row for row in results.values() if row["same_as"] is not None]
    return sum(_ended(row) < _ended(results[row["same_as"]]) for row in followers)


def _ended(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["finished_at"])


if __name__ == "__main__":
    sys.exit(main())
