from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.cli.options import batch_argument, command_with, data_dir_option, json_option

if TYPE_CHECKING:
    from producer.review.agreement import Agreement, Figure


@command_with(
    "gradequeue agreement week3-1f2e3d4c hand-grades.csv",
    "gradequeue agreement week3-1f2e3d4c hand-grades.csv --json",
)
@batch_argument
@click.argument("hand_grades", metavar="CSV", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@data_dir_option
def agreement(batch: str, hand_grades: Path, *, as_json: bool, data_dir: Path | None) -> None:
    """Compare the model's grades of BATCH with a person's, in total and by criterion.

    CSV has a column `id`, and `total` or one column per criterion. The model's own answers are compared, not the
    corrected ones. Needs: pip install 'gradequeue[statistics]'
    """
    import json
    from dataclasses import asdict

    from producer.cli.reviewing import opened_review
    from producer.review.comparison import compare_with_person
    from producer.review.hand_grades import read_hand_grades
    from producer.terminal.console import err, out, write_data

    person = read_hand_grades(hand_grades)
    with opened_review(data_dir, batch) as review:
        found = compare_with_person(review, person)
    if as_json:
        for each in found.fields:
            write_data(json.dumps(asdict(each), ensure_ascii=False) + "\n")
        return
    for each in found.fields:
        _print(each)
    for note in found.notes:
        err.print(f"note: {note}", soft_wrap=True)
    if found.has_standin:
        out.print("STAND-IN PROVIDER: these grades are not real", style="bold magenta")


def _print(found: Agreement) -> None:
    from rich.table import Table

    from producer.terminal.console import out

    table = Table(
        title=f"{found.field}: {found.pairs} graded by both, {found.missing} by one alone", title_justify="left"
    )
    for column in ("", "value", "95 % interval"):
        table.add_column(column)
    for name, figure, is_share in (
        ("same grade", found.exact, True),
        ("same or next to it", found.adjacent, True),
        ("model less person, mean", found.bias, False),
        ("distance, mean", found.mean_error, False),
        ("quadratic weighted kappa", found.kappa, False),
        ("ICC(A,1)", found.icc, False),
        ("Krippendorff's alpha", found.alpha, False),
    ):
        table.add_row(name, *_cells(figure, is_share=is_share))
    out.print(table)
    for note in found.notes:
        out.print(note)
    for each in found.worst[:5]:
        out.print(f"  {each.item_id}: person {each.person:g}, model {each.model:g} ({each.difference:+g})")


def _cells(figure: Figure, *, is_share: bool) -> tuple[str, str]:
    def written(number: float | None) -> str:
        if number is None:
            return "-"
        return f"{number:.0%}" if is_share else f"{number:.2f}"

    interval = "-" if figure.low is None else f"{written(figure.low)} to {written(figure.high)}"
    return written(figure.value), interval
