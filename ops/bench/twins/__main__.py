"""Whether identical work gets identical grades, and what that saves: `python -m ops.bench.twins --data FOLDER`.

The programs of `*_q1.jsonl` (id, code) are graded by the installed command with twins and with `--no-twins`: once by a
stand-in whose grades scatter from call to call, and once by one whose answer follows from what is sent alone, the mark
of a batch's fence apart. There every outcome must be the one that the same program had without twins. Exit status 1
when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ops.bench.processes import REPOSITORY, standin
from ops.bench.twins.comparing import changed_by_twins, followers_before_leaders, groups_apart, groups_of_twins

if TYPE_CHECKING:
    from ops.bench.processes import Standin
    from ops.bench.twins.comparing import Rows

MODEL = "gpt-6.1-terra"
LEAST_SAVED = 0.30
TEMPLATE = "Grade this program.\n\n{code}\n"


def main() -> int:
    """Grade four times, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.twins")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--jobs", type=int, help="the first so many programs [default: all]")
    parser.add_argument("--scatter", type=float, default=0.5)
    options = parser.parse_args()
    [path] = options.data.glob("*_q1.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][: options.jobs]
    programs = {str(number): row["code"] for number, row in enumerate(rows) if row["code"].strip()}
    groups = groups_of_twins(programs)
    with tempfile.TemporaryDirectory(prefix="gq-twins-") as name, standin("--ignore-marks") as provider:
        folder = Path(name)
        lines = (json.dumps({"id": each, "code": program}) + "\n" for each, program in programs.items())
        (folder / "programs.jsonl").write_text("".join(lines))
        (folder / "template.md").write_text(TEMPLATE)
        provider.configure(scatter=options.scatter)
        alone, before = _graded(folder, provider, "scattered-alone", "--no-twins")
        twins, after = _graded(folder, provider, "scattered-twins")
        provider.configure(scatter=0.0)
        exactly_alone, _ = _graded(folder, provider, "alone", "--no-twins")
        exactly_twins, _ = _graded(folder, provider, "twins")
    saved = 1 - after / before
    early = followers_before_leaders(twins) + followers_before_leaders(exactly_twins)
    apart = groups_apart(groups, twins)
    changed = changed_by_twins(programs, exactly_alone, exactly_twins)
    graded = sum(row["same_as"] is None for row in exactly_twins.values())
    print(f"{len(programs)} programs, {len(groups)} groups of identical work, scatter {options.scatter}")
    print(f"groups with different outcomes: {groups_apart(groups, alone)} without twins, {apart} with")
    print(f"requests: {before} without, {after} with: {saved:.1%} fewer (at least {LEAST_SAVED:.0%})")
    print(f"followers with an outcome before their leader's: {early}")
    print("without scatter, outcomes that are not the ones without twins:")
    print(f"  {len(changed['graded'])} of {graded} that were graded, leaders among them")
    print(f"  {len(changed['followers'])} of the followers with their leader's very bytes")
    print(f"  {len(changed['respaced'])} of the followers with other line ends or trailing white space")
    same = not changed["graded"] and not changed["followers"]
    return 0 if not apart and saved >= LEAST_SAVED and not early and same else 1


def _graded(folder: Path, provider: Standin, name: str, *more: str) -> tuple[Rows, int]:
    """The result lines by id, and the requests they took."""
    provider.reset()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GRADEQUEUE_", "OPENAI"))}
    environment |= {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-standin"}
    command = str(REPOSITORY / ".venv/bin/gradequeue")
    run = [command, "run", "programs.jsonl", "--template", "template.md", "--schema", "feedback", "--model", MODEL,
           "--name", name, "--data-dir", name, *more]  # fmt: skip
    done = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:
        raise SystemExit(f"status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    requests = int(provider.stats()["answered"])
    export = [command, "export", name, "--data-dir", name]
    written = subprocess.run(export, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return {row["id"]: row for row in map(json.loads, written.stdout.splitlines())}, requests


if __name__ == "__main__":
    sys.exit(main())
