"""Simulated courses: do the statements hold that are made about them? `python -m ops.bench.courses`.

Exit status 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ops.bench.courses.course import Kind
from ops.bench.courses.drift import simulate
from ops.bench.courses.programs import regrade_and_undo
from ops.bench.courses.reading import TARGETS, so_many, until_within

LEAST_HOLDING = 0.90
MOST_READING = 1.3
MOST_ALARMS = 0.05


def main() -> int:
    """Simulate, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.courses")
    parser.add_argument("--courses", type=int, default=1_000, help="simulated courses per bound on unread grades")
    parser.add_argument("--reports", type=int, default=200, help="simulated reports on drift, with and without a shift")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument(
        "--programs", type=Path, metavar="FOLDER", help="instead: regrade, apply and undo 50 programs of this folder"
    )
    options = parser.parse_args()
    if options.programs is not None:
        return 0 if _undoing(options.programs) else 1
    is_right = _drift(options.reports, options.seed)
    return 0 if _reading(options.courses, options.seed) and is_right else 1


def _undoing(data: Path) -> bool:
    """Official grades after a regrade was applied and undone."""
    found = regrade_and_undo(data)
    print(
        f"50 programs regraded: {found.applied} applied, {found.moved} official grades moved; after the undo they are "
        f"{'exactly as before' if found.restored else 'NOT as before'}; audit log: {found.actions}"
    )
    return found.is_right


def _drift(reports: int, seed: int) -> bool:
    """Verdicts on drift."""
    found = simulate(reports, seed=seed)
    print(
        f"drift, {reports} reports of six fields: the known shift inside its interval in {found.inside:.1%} (at least "
        f"{LEAST_HOLDING:.0%}), called a shift in {found.found:.1%}; pure noise called one in {found.false_alarms:.1%} "
        f"(at most {MOST_ALARMS:.0%})",
        flush=True,
    )
    return found.inside >= LEAST_HOLDING and found.false_alarms <= MOST_ALARMS


def _reading(courses: int, seed: int) -> bool:
    """The bound on unread grades."""
    print(f"unread grades: {courses} courses of 60 to 240, 30 hand grades; reading includes these")
    is_right = True
    for kind in Kind:
        print(f"{kind}")
        found = [until_within(courses, target, seed=seed, kind=kind) for target in TARGETS]
        listed = [so_many(courses, share, seed=seed, kind=kind) for share in (0.2, 0.4)]
        for each in (*found, *listed):
            print(
                f"  {each.name}: holds in {each.holds:.1%} (at least {LEAST_HOLDING:.0%}), read {each.read:.0f}; who "
                f"knows every error {each.oracle:.0f} ({each.ratio:.2f} x), who knows the rates {each.by_rates:.0f}",
                flush=True,
            )
            is_right = is_right and each.holds >= LEAST_HOLDING
        ratio = sum(each.read for each in found) / sum(each.oracle for each in found)
        goal = f"at most {MOST_READING}" if kind is Kind.USUAL else "no goal"
        print(f"  --within, all bounds together: {ratio:.2f} x the reading of who knows every error ({goal})")
        is_right = is_right and (kind is not Kind.USUAL or ratio <= MOST_READING)
    return is_right


if __name__ == "__main__":
    sys.exit(main())
