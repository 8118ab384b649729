"""`python -m ops.bench.invoice --before CHECKOUT --data FOLDER [--price lowest]`: what prompts, cache and lanes save.

The same programs with the same rubric, assignment and reference solution are graded by an earlier checkout and by this
one, each with its own command line and environment, and billed by this checkout's stand-in, which has prices and a
prompt cache of its own. Exits 1 when a goal is missed. FOLDER holds `*_q2.jsonl` (id, code), its `_assignment.json`
(description, reference_solution) and a file of rubrics. With `--price` this checkout's jobs may wait, as a nightly
regrade's do; `--jobs q1=850 q2=150` grades two assignments, each as a batch of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.bench.priced import MODEL, PROFILE
from ops.bench.processes import REPOSITORY, standin
from workers.contract.twins import TwinRule

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_OF_BEFORE = 0.70
"""Goal: this share of the earlier invoice at most."""
MOST_WITH_LANES = 0.40
"""Goal: the same where this checkout's jobs wait for the cheapest lane."""
LEAST_CACHED = 0.95
"""Goal: this share of the static tokens is read from the cache after the first minute."""
WARM_UP_SECONDS = 60.0
TEMPLATE = """You grade programs of an introduction to programming. Be fair, and quote what you judge.

# Assignment

{description}

# Reference solution

{reference_solution}

# The student's program

"""


@dataclass(frozen=True, slots=True)
class Side:
    """What grading cost in one checkout."""

    usd: float
    requests: int
    prompt_tokens: int
    read_tokens: int
    written_tokens: int
    output_tokens: int
    calls: tuple[dict[str, Any], ...]
    """Answered requests as its ledger has them."""
    lanes: dict[str, int]
    """Requests by lane, as the invoice has them."""

    @property
    def prompt_tokens_each(self) -> float:
        """Mean."""
        return self.prompt_tokens / self.requests

    @property
    def static_tokens(self) -> int:
        """The cached part of one prompt; 0 when nothing was cached."""
        return max((call["cached_tokens"] for call in self.calls), default=0)

    @property
    def writes(self) -> float:
        """How often the static part was paid for as a write."""
        return self.written_tokens / self.static_tokens if self.static_tokens else 0.0

    def cached_after(self, seconds: float) -> float:
        """Share of the static tokens that was read from the cache, of calls sent so long after the first."""
        sent = [(datetime.fromisoformat(call["opened_at"]).timestamp(), call["cached_tokens"]) for call in self.calls]
        begun = min(at for at, _cached in sent)
        cached = [tokens for at, tokens in sent if at - begun >= seconds]
        return sum(cached) / (len(cached) * self.static_tokens) if cached and self.static_tokens else 0.0


def main() -> int:
    """Grade twice, compare, print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="gq-invoice-") as name:
        folder = Path(name)
        for assignment, count in options.jobs:
            inputs = folder / assignment
            inputs.mkdir()
            write_input(inputs, data=options.data, assignment=assignment, rubrics=options.rubrics, count=count)
        before = _grade(folder, options, options.before, "before")
        after = _grade(folder, options, REPOSITORY, "after")
    if options.price is not None:
        return _report_lanes(before, after)
    return _report(before, after)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.bench.invoice")
    parser.add_argument("--before", type=Path, required=True, help="checkout with a .venv of its own")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rubrics", default="cpcc_rubrics.json")
    parser.add_argument("--rubric", default="csc113_week3_reflection_rubric")
    parser.add_argument("--jobs", type=_jobs, nargs="+", default=[("q2", 300)], metavar="ASSIGNMENT=COUNT")
    parser.add_argument("--price", choices=["lowest", "balanced"], help="let this checkout's jobs wait")
    parser.add_argument("--latency-ms", default="6000-9000", help="long enough that a minute of calls is warm")
    parser.add_argument("--concurrency", default="14", help="per worker process")
    parser.add_argument("--processes", default="2", help="worker processes")
    return parser.parse_args()


def _jobs(text: str) -> tuple[str, int]:
    assignment, _, count = text.partition("=")
    return assignment, int(count)


def write_input(folder: Path, *, data: Path, assignment: str, rubrics: str, count: int) -> None:
    """Programs, template, rubrics and profiles of one assignment, as the commands take them."""
    [programs] = data.glob(f"*_{assignment}.jsonl")
    described = json.loads(programs.with_name(f"{programs.stem}_assignment.json").read_text(encoding="utf-8"))
    rows = list(_distinct(programs, count))
    (folder / "programs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # code and prose may hold braces, which stand for themselves when doubled
    texts = {name: str(text).replace("{", "{{").replace("}", "}}") for name, text in described.items()}
    (folder / "template.md").write_text(TEMPLATE.format(**texts) + "{code}\n")
    (folder / "rubrics.json").write_bytes((data / rubrics).read_bytes())
    (folder / "profiles.json").write_text(json.dumps({"models": {MODEL: PROFILE}}))


def _distinct(programs: Path, count: int) -> Iterator[dict[str, str]]:
    """The same work is graded once by now, which is another saving than the one measured here."""
    seen: set[str] = set()
    for line in programs.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        work = TwinRule.EXACT.normal(row["code"])
        if work.strip() and work not in seen:
            seen.add(work)
            yield {"id": str(len(seen)), "code": row["code"]}
        if len(seen) == count:
            return
    raise SystemExit(f"{programs.name} holds {len(seen)} different programs, not {count}")


def _grade(folder: Path, options: argparse.Namespace, checkout: Path, name: str) -> Side:
    with standin("--latency-ms", options.latency_ms) as provider:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("GRADEQUEUE_", "OPENAI"))}
        environment |= {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-standin"}
        if name == "after":
            environment["GRADEQUEUE_MODEL_PROFILES"] = str(folder / options.jobs[0][0] / "profiles.json")
        for assignment, _count in options.jobs:
            _run(folder / assignment, options, checkout, name, environment)
        invoice = provider.invoice()
    calls = [
        call
        for assignment, _count in options.jobs
        for call in _ledger(folder / assignment, checkout, name, environment)
    ]
    return _side(invoice, tuple(calls))


def _run(folder: Path, options: argparse.Namespace, checkout: Path, name: str, environment: dict[str, str]) -> None:
    command = [
        str(checkout / ".venv/bin/gradequeue"), "run", "programs.jsonl", "--template", "template.md",
        "--rubric", f"rubrics.json#{options.rubric}", "--model", MODEL, "--name", name,
        "--concurrency", options.concurrency, "--processes", options.processes,
        "--data-dir", name, "--out", f"{name}.jsonl",
        *(["--price", options.price] if options.price is not None and name == "after" else []),
    ]  # fmt: skip
    # of the many answers that the stand-in draws, some are no proof of anything: status 1 says that a few failed
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:
        raise SystemExit(f"{name}: status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def _ledger(folder: Path, checkout: Path, name: str, environment: dict[str, str]) -> tuple[dict[str, Any], ...]:
    command = [str(checkout / ".venv/bin/gradequeue"), "export", name, "--ledger", "--data-dir", name]
    written = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    rows = map(json.loads, written.stdout.splitlines())
    return tuple(row for row in rows if row["ending"] == "answered")


def _side(invoice: dict[str, Any], calls: tuple[dict[str, Any], ...]) -> Side:
    lines = invoice["lines"]
    names = ("requests", "input_tokens", "read_tokens", "written_tokens", "output_tokens")
    sums = {name: sum(line[name] for line in lines) for name in names}
    return Side(
        usd=invoice["usd"],
        requests=sums["requests"],
        prompt_tokens=sums["input_tokens"] + sums["read_tokens"] + sums["written_tokens"],
        read_tokens=sums["read_tokens"],
        written_tokens=sums["written_tokens"],
        output_tokens=sums["output_tokens"],
        calls=calls,
        lanes={line["lane"]: line["requests"] for line in lines},
    )


def _report_lanes(before: Side, after: Side) -> int:
    ledger_usd = sum(call["cost_usd"] or 0.0 for call in after.calls)
    for name, side in (("before", before), ("after", after)):
        lanes = ", ".join(f"{count} {lane}" for lane, count in side.lanes.items())
        print(f"{name:6}  ${side.usd:.4f}  {lanes}; read {side.read_tokens:,}, written {side.written_tokens:,}")
    share, off = after.usd / before.usd, abs(ledger_usd - after.usd) / after.usd
    print(f"invoice: {share:.3f} of before (at most {MOST_WITH_LANES}); ledger off by {off:.4%}")
    return 0 if share <= MOST_WITH_LANES and off <= 0.001 else 1  # noqa: PLR2004 - a tenth of a percent


def _report(before: Side, after: Side) -> int:
    for name, side in (("before", before), ("after", after)):
        print(
            f"{name:6}  ${side.usd:.4f}  {side.requests} requests, {side.prompt_tokens_each:,.0f} prompt tokens each; "
            f"read {side.read_tokens:,}, written {side.written_tokens:,}, output {side.output_tokens:,}"
        )
    share, cached = after.usd / before.usd, after.cached_after(WARM_UP_SECONDS)
    goals = (
        (f"invoice: {share:.2f} of before (at most {MOST_OF_BEFORE})", share <= MOST_OF_BEFORE),
        (
            (
                f"static tokens ({after.static_tokens:,} a prompt) read from the cache after {WARM_UP_SECONDS:.0f} s: "
                f"{cached:.1%} (at least {LEAST_CACHED:.0%})"
            ),
            cached >= LEAST_CACHED,
        ),
        (f"static part written to the cache {after.writes:.1f} times (goal: once)", after.writes <= 1),
        (
            f"prompt: {after.prompt_tokens_each / before.prompt_tokens_each:.3f} of before (at most 1)",
            after.prompt_tokens_each <= before.prompt_tokens_each,
        ),
    )
    for words, is_met in goals:
        print(f"{'met   ' if is_met else 'MISSED'}  {words}")
    return 0 if all(is_met for _words, is_met in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
