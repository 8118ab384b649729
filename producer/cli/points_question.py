"""Which points a level gives, asked at a terminal where the rubric does not say; otherwise said in a note."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from workers.contract.schemes.open_ranges import LEVEL_POINTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.contract.schemes.scheme import GradingScheme

POINTS_NOT_SAID = (
    "levels of the rubric have ranges of points and it does not say which count: the lowest are taken; say it with "
    f"--points {'|'.join(LEVEL_POINTS)}, or with points_strategy in the rubric"
)
points_option = click.option(
    "--points",
    type=click.Choice(LEVEL_POINTS),
    help="Which points of a level's range count, where the rubric does not say [default: asked; else lowest].",
)


def answered(scheme: GradingScheme, with_points: Callable[[Any], GradingScheme | None]) -> GradingScheme:
    """The scheme after a person's answer; as it is where nothing is open or nobody sits there.

    `with_points` makes the scheme again with one of `LEVEL_POINTS`.
    """
    if not scheme.leaves_points_open or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return scheme
    chosen = click.prompt(
        "Levels of the rubric have ranges of points. Which of them count?",
        type=click.Choice(LEVEL_POINTS),
        default=LEVEL_POINTS[0],
        err=True,
    )
    return with_points(chosen) or scheme
