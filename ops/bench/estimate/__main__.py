"""`python -m ops.bench.estimate --data FOLDER`: how far the estimate of a schema's second run is from its invoice.

Real programs of three assignments are graded by one rubric, one assignment after the other, each with its own text and
reference solution. Before each batch `gradequeue estimate` says what it will cost; the stand-in bills it. Exits 1 when
a batch after the first costs more than 15 % more or less than its likely cost, or lies outside the interval.
FOLDER is that of `ops.bench.invoice`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ops.bench.invoice.__main__ import write_input
from ops.bench.priced import MODEL
from ops.bench.processes import Standin, standin

ASSIGNMENTS = (("q2", 60), ("q1", 120), ("q3", 40))
"""With so many programs each: no batch is like the one before."""
MOST_OFF = 0.15
COMMAND = str(Path(sys.executable).with_name("gradequeue"))


def main() -> int:
    """Estimate, grade, compare."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.estimate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rubrics", default="cpcc_rubrics.json")
    parser.add_argument("--rubric", default="csc113_week3_reflection_rubric")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="gq-estimate-") as name, standin("--latency-ms", "200-500") as provider:
        for place, (assignment, count) in enumerate(ASSIGNMENTS):
            folder = Path(name) / assignment
            folder.mkdir()
            write_input(folder, data=options.data, assignment=assignment, rubrics=options.rubrics, count=count)
            wrong += _batch(folder, options.rubric, provider, is_first=place == 0)
    return 1 if wrong else 0


def _batch(folder: Path, rubric: str, provider: Standin, *, is_first: bool) -> bool:
    """One assignment; true when its estimate was wrong."""
    given = ["programs.jsonl", "--template", "template.md", "--rubric", f"rubrics.json#{rubric}", "--model", MODEL]
    [estimate] = json.loads(_said(folder, provider, "estimate", *given, "--json"))
    before = provider.invoice()["usd"]
    _said(folder, provider, "run", *given, "--name", folder.name, "--out", "grades.jsonl")
    usd = provider.invoice()["usd"] - before
    low, likely, high = (estimate["cost_usd"][end] for end in ("low", "likely", "high"))
    off = likely / usd - 1
    is_wrong = not is_first and not (abs(off) <= MOST_OFF and low <= usd <= high)
    print(
        f"{folder.name}: {estimate['jobs']} jobs, {estimate['earlier_answers']} earlier answers; estimate ${low:.4f} "
        f"to ${high:.4f}, likely ${likely:.4f}; invoice ${usd:.4f}: {off:+.1%}"
        f"{' (first run)' if is_first else '  WRONG' if is_wrong else ''}",
        flush=True,
    )
    return is_wrong


def _said(folder: Path, provider: Standin, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GRADEQUEUE_", "OPENAI"))}
    environment |= {
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": "sk-standin",
        "GRADEQUEUE_MODEL_PROFILES": "profiles.json",
    }
    command = [COMMAND, *arguments, "--data-dir", str(folder.parent / "data")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:  # 1: of the answers that the stand-in draws, some are no proof of anything
        raise SystemExit(f"{arguments[0]}: status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
