"""How many quotations the evidence check judges wrongly, and what it costs: `python -m ops.bench.evidence DATA`.

DATA is a folder with JSON lines of real programs (`code`). True quotations are passages of a program with white space,
quote signs, escapes and elisions changed; made-up ones are lines of other programs, and the program's own with another
operator, number or name. One that stands in the program all the same is left out.
"""
# ruff: noqa: PLR2004 - shares and lengths of a random sample

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from workers.grading.evidence.folding import Submission
from workers.grading.evidence.lookup import FUZZY_THRESHOLD, VERSION, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COUNT = 2_000
QUOTATIONS_PER_JOB = 6
LEAST_FLAGGED_PERCENT = 99.0
MOST_FALSE_PERCENT = 0.5
MOST_CPU_MS = 2.0
_OTHER_SIGN = {"<=": "<", ">=": ">", "==": "!=", "<": ">=", ">": "<=", "+": "-", "-": "+"}
_NAMES = ("value", "helper", "accumulate", "position")


def main() -> int:
    """Print both shares and the CPU time per job; exit status 1 when one misses its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    programs = [json.loads(line)["code"] for file in sorted(arguments.data.glob("*.jsonl")) for line in file.open("rb")]
    draw = random.Random(arguments.seed)  # noqa: S311 - a sample
    false_percent = _flagged_percent(_true_quotations(programs, draw))
    flagged_percent = _flagged_percent(_made_up(programs, draw))
    cpu_ms = _cpu_ms_per_job(programs, draw)
    _say(f"{len(programs)} programs, check version {VERSION}, fuzzy threshold {FUZZY_THRESHOLD:g}%")
    _say(f"{COUNT} made up: {flagged_percent:.2f}% flagged (at least {LEAST_FLAGGED_PERCENT:g})")
    _say(f"{COUNT} true, changed: {false_percent:.2f}% flagged (at most {MOST_FALSE_PERCENT:g})")
    _say(f"{cpu_ms:.2f} ms CPU per job of {QUOTATIONS_PER_JOB} quotations, half made up (at most {MOST_CPU_MS:g})")
    holds = flagged_percent >= LEAST_FLAGGED_PERCENT and false_percent <= MOST_FALSE_PERCENT and cpu_ms <= MOST_CPU_MS
    return 0 if holds else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _flagged_percent(pairs: Iterator[tuple[str, str]]) -> float:
    flagged = total = 0
    for quotation, program in pairs:
        total += 1
        flagged += lines_of(quotation, Submission(program)) is None
    return 100 * flagged / total


def _true_quotations(programs: list[str], draw: random.Random) -> Iterator[tuple[str, str]]:
    for _ in range(COUNT):
        program = draw.choice(programs)
        quotation = _passage(program, draw)
        for change in draw.sample(_CHANGES, draw.randint(1, 2)):
            quotation = change(quotation, draw)
        yield quotation, program


def _passage(program: str, draw: random.Random) -> str:
    lines = program.splitlines()
    first = draw.randrange(len(lines))
    found = "\n".join(lines[first : first + draw.randint(1, 3)]).strip()
    if draw.random() < 0.5:  # models begin and end in the middle of a line, too
        start = draw.randrange(max(1, len(program) - 20))
        found = program[start : start + draw.randint(10, 120)].strip()
    return found or program[:40]


def _spaced(text: str, draw: random.Random) -> str:
    return re.sub(r"[ \n]+", lambda _found: draw.choice((" ", "  ", "\n", "\n    ")), text)


def _requoted(text: str, draw: random.Random) -> str:
    signs: dict[str, str | int | None] = {"'": draw.choice('"\u2019`'), '"': draw.choice("'\u201d")}
    return text.translate(str.maketrans(signs))


def _escaped(text: str, draw: random.Random) -> str:
    forms: tuple[Callable[[str], str], ...] = (
        lambda part: json.dumps(part)[1:-1],
        lambda part: part.replace("\n", "\\n"),
        lambda part: part.replace("<", "&lt;").replace(">", "&gt;"),
        lambda part: part.replace('"', '\\"').replace("'", "\\'"),
    )
    return draw.choice(forms)(text)


def _elided(text: str, draw: random.Random) -> str:
    if len(text) < 30:
        return f"{text} ..."
    first = draw.randint(8, len(text) - 12)
    second = draw.randint(first + 1, len(text) - 2)
    return text[:first] + draw.choice((" ... ", "\u2026", " [...] ", "\n...\n")) + text[second:]


_CHANGES = (_spaced, _requoted, _escaped, _elided)


def _made_up(programs: list[str], draw: random.Random) -> Iterator[tuple[str, str]]:
    left = COUNT
    while left:
        program = draw.choice(programs)
        quotation = _changed_line(program, programs, draw)
        if quotation and "".join(quotation.split()) not in "".join(program.split()):
            left -= 1
            yield quotation, program


def _changed_line(program: str, programs: list[str], draw: random.Random) -> str:
    kind = draw.randrange(4)
    source = draw.choice(programs) if kind == 0 else program
    lines = [line.strip() for line in source.splitlines() if len(line.strip()) > 8]
    if not lines:
        return ""
    line = draw.choice(lines)
    if kind == 1:
        return re.sub(r"<=|>=|==|<|>|\+|-", lambda found: _OTHER_SIGN[found[0]], line, count=1)
    if kind == 2:
        return re.sub(r"\b[a-z_]{2,}\b", lambda found: draw.choice(_NAMES) if draw.random() < 0.5 else found[0], line)
    return re.sub(r"\d+", lambda found: str(int(found[0]) + 1), line) if kind == 3 else line


def _cpu_ms_per_job(programs: list[str], draw: random.Random) -> float:
    jobs = [
        (program, [_passage(draw.choice((program, draw.choice(programs))), draw) for _ in range(QUOTATIONS_PER_JOB)])
        for program in draw.choices(programs, k=300)
    ]
    began = time.process_time()
    for program, quotations in jobs:
        submission = Submission(program)
        for quotation in quotations:
            lines_of(quotation, submission)
    return 1000 * (time.process_time() - began) / len(jobs)


if __name__ == "__main__":
    sys.exit(main())
