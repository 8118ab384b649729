from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.cli.downloading import taken_by_option
from producer.cli.options import batch_argument, command_with, data_dir_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal
    from typing import IO

    from producer.gradebook.filling import Filled
    from producer.gradebook.grade import Grade

MOST_LISTED = 20
"""Sentences about single students on the screen; the rest is counted."""


@command_with(
    "gradequeue gradebook week3 --for moodle --gradebook Grades-week3.csv",
    "gradequeue gradebook week3 --for canvas --gradebook 2026-11-27_Grades.csv --column 'Week 3' --out upload.csv",
    "gradequeue gradebook week3 --for moodle --feedback-zip feedback.zip --only released",
    "gradequeue gradebook week3 --for xlsx --out week3.xlsx --only all",
)
@batch_argument
@click.option(
    "--for",
    "system",
    required=True,
    type=click.Choice(["moodle", "canvas", "gradescope", "blackboard", "csv", "xlsx"]),
    help="Who reads the file.",
)
@click.option(
    "--gradebook",
    "gradebook_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file that the course system exported; its grade cells are filled, nothing else is touched.",
)
@click.option(
    "--out",
    "out_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file [default: the gradebook's name with -graded, or BATCH with the file's kind].",
)
@click.option("--column", default="", help="Title of the column that takes the grades, where it is not the only one.")
@click.option(
    "--only",
    type=click.Choice(["released", "approved", "all"]),
    default="approved",
    show_default=True,
    help="Which grades: released to students, made official by a person, or also what only the model said.",
)
@click.option("--out-of", help="The points that deductions are taken from, and that --scale-to starts from.")
@click.option("--scale-to", help="Scale the points to this maximum.")
@click.option(
    "--as-is", is_flag=True, help="Write the points unchanged into a file whose maximum is another than the grades'."
)
@click.option(
    "--feedback-zip",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write each student's feedback into a ZIP that Moodle or Canvas takes back.",
)
@click.option(
    "--feedback-format",
    type=click.Choice(["html", "md", "pdf"]),
    default="html",
    show_default=True,
    help="Of the feedback.",
)
@click.option(
    "--feedback-font",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TrueType font of PDF feedback [default: one of the machine that knows many scripts].",
)
@taken_by_option
@data_dir_option
def gradebook(
    batch: str,
    *,
    system: str,
    gradebook_path: Path | None,
    out_path: Path | None,
    column: str,
    only: str,
    out_of: str | None,
    scale_to: str | None,
    as_is: bool,
    feedback_zip: Path | None,
    feedback_format: str,
    feedback_font: Path | None,
    by: str | None,
    data_dir: Path | None,
) -> None:
    """Write the grades of BATCH where the course system takes them.

    Only the grade cells of the exported file change. What the system would misread, erase or skip without a word is
    named and not written; the last line says how many changes the system should report. The audit log keeps who took
    the file.
    """
    from functools import partial

    from producer.cli.downloading import taker
    from producer.cli.reviewing import opened_review
    from producer.gradebook.grade import Standing
    from producer.review.grades import grades_of
    from workers.contract.errors import InvalidInput

    if system in {"csv", "xlsx"} and gradebook_path is not None:
        raise InvalidInput(f"--for {system} writes a file of its own; leave --gradebook out")
    if as_is and scale_to is not None:
        raise InvalidInput("--as-is writes the points unchanged and --scale-to converts them; give one of the two")
    with opened_review(data_dir, batch) as review:
        found = list(
            grades_of(
                review,
                standing=Standing(only),
                out_of=_number("--out-of", out_of),
                scale_to=_number("--scale-to", scale_to),
            )
        )
        _refuse_nothing_to_write(found, batch, only)
        _warn_of_standin(found)
        note = partial(review.note_download, by=taker(by))
        strangers: set[str] | None = None
        if system in {"csv", "xlsx"}:
            _write_plain(found, batch, system, out_path, note=note)
        elif gradebook_path is not None:
            filled = _write_filled(found, system, gradebook_path, out_path, column=column, as_is=as_is, note=note)
            strangers = filled.strangers
        elif feedback_zip is None:
            raise InvalidInput(f"--gradebook FILE is missing: the file that {_where_to_export(system)} gives")
        if feedback_zip is not None:
            page = _page_maker(feedback_format, feedback_font)
            _warn_of_teams(system, strangers)
            theirs = [grade for grade in found if grade.id not in (strangers or ())]
            _report_strangers([grade for grade in found if grade.id in (strangers or ()) and grade.points is not None])
            _write_feedback(theirs, batch, system, feedback_zip, page=page, suffix=feedback_format, note=note)


def _number(option: str, value: str | None) -> Decimal | None:
    from producer.gradebook.filling import number
    from workers.contract.errors import InvalidInput

    found = number(value) if value is not None else None
    if value is not None and (found is None or found <= 0):
        raise InvalidInput("expects a number above 0", where=option)
    return found


def _where_to_export(system: str) -> str:
    from producer.gradebook.systems import WHERE_TO_EXPORT

    return WHERE_TO_EXPORT[system]


def _refuse_nothing_to_write(found: list[Grade], batch: str, only: str) -> None:
    from producer.terminal.words import command
    from workers.contract.errors import InvalidInput

    if any(grade.points is not None for grade in found):
        return
    cure = {
        "approved": f"read and approve them ({command('review', batch)}), or write what the model said with --only all",
        "released": f"release them ({command('release', batch)}), or choose --only approved",
        "all": f"{command('status', batch)} shows why",
    }
    first = f" ({found[0].why_none})" if found else ""
    raise InvalidInput(f"no grade of {batch} can be written{first}; {cure[only]}")


def _warn_of_standin(found: list[Grade]) -> None:
    from producer.terminal.console import err

    if any(grade.is_standin for grade in found):
        err.print("REHEARSAL: these grades are the stand-in provider's and not real; do not upload them", style="red")


def _write_filled(
    found: list[Grade],
    system: str,
    gradebook_path: Path,
    out_path: Path | None,
    *,
    column: str,
    as_is: bool,
    note: Callable[[str], None],
) -> Filled:
    from producer.gradebook.filling import fill
    from producer.gradebook.result_files import check_writable, write_bytes_atomically
    from producer.gradebook.sheet import Sheet
    from producer.gradebook.systems import SYSTEMS

    mark = "-rehearsal" if any(grade.is_standin for grade in found) else "-graded"
    target = out_path or gradebook_path.with_name(f"{gradebook_path.stem}{mark}{gradebook_path.suffix}")
    check_writable(target)
    filled = fill(Sheet.load(gradebook_path), found, SYSTEMS[system], column=column, as_is=as_is)
    note(f"gradebook for {system}")
    write_bytes_atomically(target, filled.sheet.content())
    _report(filled, target)
    return filled


def _warn_of_teams(system: str, strangers: set[str] | None) -> None:
    """Moodle gives a feedback file to the participant whose number it bears, and a team's number may be one."""
    from producer.terminal.console import err

    if system == "moodle" and strangers is None:
        err.print(
            "note: nobody checked that these numbers are the students': where teams hand in, do not upload the ZIP; "
            "with --gradebook FILE each number is compared with its student's name",
            style="yellow",
            soft_wrap=True,
        )


def _report_strangers(strangers: list[Grade]) -> None:
    from producer.terminal.console import err

    for grade in strangers[:MOST_LISTED]:
        err.print(f"no feedback file: {grade.shown}: the gradebook has no row of theirs", soft_wrap=True)
    if len(strangers) > MOST_LISTED:
        err.print(f"no feedback file: {len(strangers) - MOST_LISTED} more", soft_wrap=True)


def _report(filled: Filled, target: Path) -> None:
    from producer.terminal.console import err, out
    from producer.terminal.words import counted

    for warning in filled.warnings:
        err.print(f"note: {warning}", style="yellow", soft_wrap=True)
    for sentence in filled.refused[:MOST_LISTED]:
        err.print(f"not written: {sentence}", style="yellow", soft_wrap=True)
    if len(filled.refused) > MOST_LISTED:
        err.print(f"not written: {len(filled.refused) - MOST_LISTED} more", style="yellow")
    out.print(
        f"{target}: {counted(len(filled.written), 'grade')} written, {len(filled.unchanged)} were there already, "
        f"{len(filled.refused)} not written, "
        f"{counted(filled.without, 'student')} of the file without a grade from here",
        soft_wrap=True,
    )
    out.print(filled.expected_report, soft_wrap=True)


def _write_plain(
    found: list[Grade], batch: str, system: str, out_path: Path | None, *, note: Callable[[str], None]
) -> None:
    from producer.gradebook.csv_cells import csv_line
    from producer.gradebook.plain import grade_lines, workbook
    from producer.gradebook.result_files import check_writable, flat_line, write_atomically, write_bytes_atomically
    from producer.terminal.console import out

    target = out_path or Path(f"{batch}.{system}")
    check_writable(target)
    lines = grade_lines(found)
    note(f"gradebook, {system}")
    if system == "xlsx":
        write_bytes_atomically(target, workbook(lines, title=batch))
    else:
        rows = [flat_line(line) for line in lines]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        content = [csv_line(columns), *(csv_line(row.get(name) for name in columns) for row in rows)]
        write_atomically(target, content, encoding="utf-8-sig")
    out.print(f"{target}: {sum(grade.points is not None for grade in found)} grades, {len(found)} rows", soft_wrap=True)


def _page_maker(file_format: str, font: Path | None) -> Callable[[Grade, str], bytes]:
    """A grade and a title to the bytes of a page."""
    if file_format == "pdf":
        from producer.gradebook.feedback_pdf import feedback_pdf

        return lambda grade, title: feedback_pdf(grade, title=title, font=font)
    from producer.gradebook.feedback import feedback_html, feedback_markdown

    page = feedback_html if file_format == "html" else feedback_markdown
    return lambda grade, title: page(grade, title=title).encode()


def _write_feedback(
    found: list[Grade],
    batch: str,
    system: str,
    target: Path,
    *,
    page: Callable[[Grade, str], bytes],
    suffix: str,
    note: Callable[[str], None],
) -> None:
    from producer.gradebook.feedback import write_feedback_zip
    from producer.gradebook.result_files import check_writable, write_bytes_atomically
    from producer.terminal.console import out
    from producer.terminal.words import counted

    check_writable(target)
    note(f"feedback for {system}, {suffix}")
    pages, number = _feedback_pages(found, batch, system, page=page, suffix=suffix), 0

    def write(file: IO[bytes]) -> None:
        nonlocal number
        number = write_feedback_zip(pages, file)

    write_bytes_atomically(target, write)
    out.print(f"{target}: feedback for {counted(number, 'student')}", soft_wrap=True)


def _feedback_pages(
    found: list[Grade], batch: str, system: str, *, page: Callable[[Grade, str], bytes], suffix: str
) -> Iterator[tuple[str, bytes]]:
    """Member names and pages, each made when it is asked for; who gets none is named."""
    from producer.gradebook.feedback import member_name
    from producer.terminal.console import err
    from workers.contract.errors import InvalidInput

    names: set[str] = set()
    for grade in found:
        name = member_name(grade, system, suffix) if grade.points is not None else None
        problem = grade.why_none or "the system takes none back for them"
        if name is not None:
            name = f"{len(names)}-{name}" if name in names else name
            try:
                yield name, page(grade, batch)
                names.add(name)
                continue
            except InvalidInput as unwritable:
                problem = str(unwritable)
        err.print(f"no feedback file: {grade.shown}: {problem}", soft_wrap=True)
