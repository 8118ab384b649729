from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import batch_argument, command_with, data_dir_option
from producer.cli.reviewing import by_option

if TYPE_CHECKING:
    from pathlib import Path


@command_with(
    'gradequeue override week3-1f2e3d4c s17 --set criteria.style.level=Good --reason "names are clear"',
    'gradequeue override week3-1f2e3d4c s17 --points style=6.5 --reason "between two levels"',
    'gradequeue override week3-1f2e3d4c s18 --points 17 --reason "handed in on paper"',
)
@batch_argument
@click.argument("item_id", metavar="ID")
@click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE", help="A field of the result; may be repeated.")
@click.option(
    "--points",
    multiple=True,
    metavar="[CRITERION=]NUMBER",
    help="Points of a rubric's criterion, may be repeated; or the total, where it is not computed from others.",
)
@click.option("--reason", required=True, help="Why; kept with the decision.")
@by_option
@data_dir_option
def override(
    batch: str,
    item_id: str,
    *,
    fields: tuple[str, ...],
    points: tuple[str, ...],
    reason: str,
    by: str | None,
    data_dir: Path | None,
) -> int:
    """Correct one grade of BATCH, or give one by hand; its points are computed again.

    Where the model gave none (failed, left out, pictures only), give the total with --points NUMBER, or by a rubric
    every criterion with --set criteria.NAME.level=LABEL or --points NAME=NUMBER.

    The model's own answer stays on record; `gradequeue undo` takes the correction back.
    """
    from producer.cli.reviewing import opened_review, report, reviewer, suggest_ids
    from producer.review.corrections import Correction
    from workers.contract.errors import InvalidInput

    totals = [each for each in points if "=" not in each]
    if len(totals) > 1:
        raise InvalidInput("there is one total; for criteria write --points CRITERION=NUMBER")
    by_criterion = (_pair(each, "--points") for each in points if "=" in each)
    correction = Correction(
        fields=dict(_pair(each, "--set") for each in fields),
        points={name: _number(value, f"{name}={value}") for name, value in by_criterion},
        total=_number(totals[0], totals[0]) if totals else None,
    )
    with opened_review(data_dir, batch) as review:
        suggest_ids(review, [item_id])
        return report(review.override(item_id, correction, by=reviewer(by), reason=reason), "corrected")


def _pair(text: str, option: str) -> tuple[str, str]:
    from workers.contract.errors import InvalidInput

    name, is_pair, value = text.partition("=")
    if not is_pair or not name:
        raise InvalidInput(f"{text!r} is no NAME=VALUE", where=option)
    return name, value


def _number(text: str, given: str) -> float:
    from workers.contract.errors import InvalidInput

    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{given} is no number of points; write 6.5", where="--points") from None
