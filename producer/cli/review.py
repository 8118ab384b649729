from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.cli.options import batch_argument, command_with, data_dir_option, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.review.reading_order import ReadingOrder
    from producer.review.review import Review


@command_with(
    "gradequeue review week3-1f2e3d4c",
    "gradequeue review week3-1f2e3d4c --undecided --first 20",
    "gradequeue review week3-1f2e3d4c --against week3-1f2e3d4c-gpt-6-luna",
    "gradequeue review week3-1f2e3d4c --hand-sample 30",
    "gradequeue review week3-1f2e3d4c --read 40 --hand hand-grades.csv",
)
@batch_argument
@click.option("--undecided", is_flag=True, help="Only items without a decision.")
@click.option("--first", type=click.IntRange(1), help="Only so many of the most doubtful.")
@click.option("--against", metavar="BATCH", help="Another grading of the same work, to see where the two disagree.")
@click.option("--hand-sample", type=click.IntRange(1), metavar="N", help="Draw N items by chance, to grade by hand.")
@click.option("--read", type=click.IntRange(0), metavar="N", help="What to read first, and the error of the rest.")
@click.option(
    "--within",
    type=click.FloatRange(0, min_open=True),
    metavar="POINTS",
    help="What to read until the mean error left in the batch is so small.",
)
@click.option(
    "--hand",
    "hand_grades",
    metavar="CSV",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Grades given by hand, about 30: columns id and total. For --read and --within.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    metavar="POINTS",
    help="A greater error counts as this one [default: 5 % of the scale].",
)
@json_option
@data_dir_option
def review(
    batch: str,
    *,
    undecided: bool,
    first: int | None,
    against: str | None,
    hand_sample: int | None,
    read: int | None,
    within: float | None,
    hand_grades: Path | None,
    tolerance: float | None,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """List the grades of BATCH, the most doubtful first, with what people decided.

    Then decide: gradequeue approve, override, hold, and release what students may see.
    """
    from producer.cli.reviewing import opened_review
    from producer.review.reading_order import ReadingOrder
    from producer.terminal.words import command
    from workers.contract.decision import ReviewState
    from workers.contract.errors import InvalidInput

    if (read is None) == (within is None) and hand_grades is not None:
        raise InvalidInput("--hand goes with --read N, or with --within POINTS")
    if hand_grades is None and (read is not None or within is not None):
        raise InvalidInput(
            "--read and --within need about 30 grades given by hand: grade what "
            f"`{command('review', batch, options=['--hand-sample', '30'])}` lists, and give the grades with --hand CSV "
            "(columns id and total)"
        )
    with opened_review(data_dir, batch) as opened:
        order = ReadingOrder(opened, against=against)
        if hand_sample is not None:
            _print_sample(order, hand_sample, batch=batch, as_json=as_json)
        elif hand_grades is not None:
            _print_reading(order, hand_grades, read, within, tolerance, batch=batch, as_json=as_json)
        else:
            shown = [each.id for each in order.items if not undecided or each.state is ReviewState.UNDECIDED]
            _print_list(opened, order, shown[:first], as_json=as_json)


def _print_list(opened: Review, order: ReadingOrder, shown: Sequence[str], *, as_json: bool) -> None:
    import json

    from producer.cli.reviewing import to_gradebook
    from producer.review.listing import MOST_ROWS, as_line, review_summary, review_table
    from producer.terminal.console import out, write_data
    from producer.terminal.words import command
    from workers.contract.decision import ReviewState

    if as_json:
        for doubt in order.doubts(shown):
            write_data(json.dumps(as_line(doubt), ensure_ascii=False) + "\n")
        return
    out.print(review_table(list(order.doubts(shown[:MOST_ROWS])), opened.batch, of=len(shown)))
    for line in review_summary(order.items, opened.rule()):
        out.print(line, soft_wrap=True)
    if opened.has_standin():
        out.print("STAND-IN PROVIDER: these grades are not real and cannot be released", style="bold magenta")
        return
    undecided = [each for each in order.items if each.state is ReviewState.UNDECIDED]
    if any(not each.has_failed for each in undecided):
        next_step = (
            f"{command('approve', opened.batch, 'ID...')}, or "
            f"{command('approve', opened.batch, options=['--unflagged'])}"
        )
    elif undecided:  # without a grade: nothing to approve
        next_step = command("failures", opened.batch)
    else:
        next_step = f"{command('release', opened.batch)}, and {to_gradebook(opened.batch)}"
    out.print(f"next: {next_step}", soft_wrap=True)


def _print_sample(order: ReadingOrder, count: int, *, batch: str, as_json: bool) -> None:
    import json

    from producer.review.reading import hand_sample
    from producer.terminal.console import err, write_data

    chosen = hand_sample(batch, order.items, count)
    if as_json:
        write_data(json.dumps(chosen, ensure_ascii=False) + "\n")
        return
    write_data("".join(f"{item_id}\n" for item_id in chosen))
    err.print("grade all of these by hand without a look at the model's grades, in a CSV with columns id and total")


def _print_reading(
    order: ReadingOrder,
    hand_grades: Path,
    count: int | None,
    within: float | None,
    tolerance: float | None,
    *,
    batch: str,
    as_json: bool,
) -> None:
    import json

    from producer.review.hand_grades import read_hand_grades
    from producer.review.listing import review_table
    from producer.review.reading import reading_list
    from producer.terminal.console import out, write_data

    found = reading_list(order, read_hand_grades(hand_grades), count=count, within=within, tolerance=tolerance)
    if as_json:
        write_data(json.dumps(found.as_json(), ensure_ascii=False) + "\n")
        return
    doubts = list(order.doubts(found.to_read))
    out.print(review_table(doubts, batch, of=len(doubts)))
    out.print(f"read these {len(doubts)}; then")
    for sentence in found.sentences():
        out.print(sentence, soft_wrap=True)
