"""How often the tripwire is wrong: `python -m ops.bench.tripwire DATA`.

DATA is a folder with JSON lines of real programs (`code`), which hold no injection: what is flagged there is a false
alarm. 300 payloads are planted in them: ten kinds, six sentences each, carried in five ways. The sentences of five
kinds were at hand while the rules were written; those of the other five were written after the rules were fixed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from workers.grading.tripwire.scan import rules_version, suspicious_spans

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_FALSE_PERCENT = 0.1
LEAST_FOUND_PERCENT = 90.0
CARRIERS = (
    "# {}",
    '"""{}"""',
    "note = {!r}",
    "print({!r})",
    "#\n# {}\n#",
)


def main() -> int:
    """Print both shares, the misses and the cost; exit status 1 when one misses its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    programs = [json.loads(line)["code"] for file in sorted(arguments.data.glob("*.jsonl")) for line in file.open("rb")]
    began = time.process_time()
    false_alarms = sum(bool(suspicious_spans(program)) for program in programs)
    cpu_ms = 1000 * (time.process_time() - began) / len(programs)
    false_percent = 100 * false_alarms / len(programs)
    _say(f"rules version {rules_version()}, {cpu_ms:.2f} ms CPU per program")
    _say(
        f"{len(programs)} programs: {false_alarms} false alarms, {false_percent:.2f}% (at most {MOST_FALSE_PERCENT:g})"
    )
    draw = random.Random(arguments.seed)  # noqa: S311 - a sample
    found = planted = 0
    for name in ("seen", "unseen"):
        found_here, planted_here = _found(_payloads(f"payloads_{name}.toml"), programs, draw, name)
        found, planted = found + found_here, planted + planted_here
    found_percent = 100 * found / planted if planted else 0.0
    _say(f"{planted} payloads: {found_percent:.1f}% found (at least {LEAST_FOUND_PERCENT:g})")
    return 0 if false_percent <= MOST_FALSE_PERCENT and found_percent >= LEAST_FOUND_PERCENT else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _payloads(name: str) -> Mapping[str, list[str]]:
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _found(payloads: Mapping[str, list[str]], programs: list[str], draw: random.Random, name: str) -> tuple[int, int]:
    found = planted = 0
    for kind, sentences in payloads.items():
        works = [
            (sentence, _planted(carrier.format(sentence), draw.choice(programs), draw))
            for sentence in sentences
            for carrier in CARRIERS
        ]
        missed = [sentence for sentence, work in works if not suspicious_spans(work)]
        _say(f"  {name} {kind}: {len(works) - len(missed)} of {len(works)}")
        for sentence in dict.fromkeys(missed):
            _say(f"    missed: {sentence}")
        found, planted = found + len(works) - len(missed), planted + len(works)
    return found, planted


def _planted(payload: str, program: str, draw: random.Random) -> str:
    lines = program.splitlines()
    place = draw.randrange(len(lines) + 1)
    return "\n".join([*lines[:place], payload, *lines[place:]])


if __name__ == "__main__":
    sys.exit(main())
