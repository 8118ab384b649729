from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.job_options import kit_option
from producer.cli.options import batch_argument, command_with, data_dir_option
from producer.cli.points_question import points_option
from producer.cli.reviewing import by_option, items_argument, reason_option

if TYPE_CHECKING:
    from pathlib import Path

    from producer.review.rescoring import Rescoring
    from workers.contract.schemes.open_ranges import LevelPoints
    from workers.contract.schemes.scheme import GradingScheme

MOST_LEFT_OUT = 10
"""Lines about items that cannot be computed; the rest is counted."""


@command_with(
    "gradequeue rescore week3 --rubric rubrics.yaml",
    "gradequeue rescore week3 --kit week3-kit --reason 'two levels of style were one point apart'",
    "gradequeue rescore week3 s17 s18 --rubric rubrics.yaml --points highest",
)
@batch_argument
@items_argument
@click.option("--rubric", metavar="FILE[#ID]", help="The rubric as it is now.")
@click.option("--catalogue", metavar="FILE[#COURSE[/ASSIGNMENT]]", help="The error catalogue as it is now.")
@kit_option
@points_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@by_option
@reason_option
@data_dir_option
def rescore(
    batch: str,
    item_ids: tuple[str, ...],
    *,
    rubric: str | None,
    catalogue: str | None,
    kit: Path | None,
    points: LevelPoints | None,
    yes: bool,
    by: str | None,
    reason: str,
    data_dir: Path | None,
) -> int:
    """Compute the grades of BATCH again by changed points, levels or weights; no call.

    Official grades are computed again with what people corrected in them. The difference is shown before the question;
    `gradequeue undo BATCH --last` restores what was official before, and leaves holds as they are.
    """
    from producer.cli.reviewing import opened_review, report, reviewer, take_back
    from producer.review.rescoring import record_rescoring, rescored
    from producer.terminal.console import err, out
    from producer.terminal.words import counted
    from workers.contract.registry import builtin_registry

    scheme = _scheme(rubric, catalogue, kit, points)
    for warning in scheme.warnings:
        err.print(f"note: {warning}", style="yellow", soft_wrap=True)
    with opened_review(data_dir, batch) as review:
        found = rescored(review, scheme, registry=builtin_registry(), item_ids=item_ids or None)
        _say_left_out(found)
        out.print(found.difference.table())
        out.print(found.difference.summary())
        many = f"{counted(len(found.seen), 'grade')} official in {batch}"
        question = f"Make {many}, {found.undecided} of them not decided before?"
        if found.seen and not yes:
            click.confirm(question, abort=True, err=True)
        done = record_rescoring(review, found, registry=builtin_registry(), by=reviewer(by), reason=reason)
        return report(done, "made official", next_step=take_back(batch) if done.changed else "")


def _scheme(rubric: str | None, catalogue: str | None, kit: Path | None, points: LevelPoints | None) -> GradingScheme:
    from functools import partial

    from producer.cli.points_question import answered
    from producer.inputs.kits.kit import NO_KIT, load_kit
    from workers.contract.errors import InvalidInput
    from workers.contract.schemes.scheme import scheme_from_options

    given = {"rubric": rubric, "catalogue": catalogue, "points": points}
    options = (load_kit(kit) if kit else NO_KIT).completed(given)
    made = partial(scheme_from_options, options.get("rubric"), options.get("catalogue"))
    scheme = made(options.get("points"))
    if scheme is None:
        raise InvalidInput("name the rubric as it is now: --rubric FILE, --catalogue FILE or --kit DIR")
    return answered(scheme, made)


def _say_left_out(found: Rescoring) -> None:
    from producer.review.rescoring import AGAIN
    from producer.terminal.console import err

    for note in found.notes:
        err.print(f"note: {note}", style="yellow", soft_wrap=True)
    for item_id, why in list(found.left_out.items())[:MOST_LEFT_OUT]:
        err.print(f"left out: {item_id}: {why}", soft_wrap=True)
    if len(found.left_out) > MOST_LEFT_OUT:
        err.print(f"left out: {len(found.left_out) - MOST_LEFT_OUT} more")
    if found.notes or any(AGAIN in why for why in found.left_out.values()):
        err.print("note: `gradequeue regrade` asks the model again", style="yellow")
