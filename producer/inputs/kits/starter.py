"""The files of a new course kit, each with comments that say what goes where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SETTINGS = """\
# A course kit: how one assignment is graded. Used as: gradequeue run SUBMISSIONS --kit THIS_FOLDER
# An option on the command line wins over what is here. Take the mark # away from what you want to set.

# model = "gpt-6.1-terra"     # `gradequeue models` lists them
# points = "lowest"           # which points of a level's range count: lowest, middle or highest
# rubric = "week3"            # id of one of several rubrics in the rubric's file
# schema = "feedback"         # without a rubric: the kind of result, see `gradequeue schemas`
# catalogue = "errors.json#CSC_151/Exam1"   # in place of a rubric
# effort = "low"              # how long a reasoning model thinks
# verbosity = "low"           # how much it writes
# max_tokens = 4096           # of an answer
# layout = "moodle"           # course system of the download, where it is not recognised
# id_column = "Matrikelnummer"   # of a table, where the column with the ids is not clear
"""
STARTER_RUBRIC = """\
# The model chooses one level for each criterion; code computes the points. Replace the example with your own.
# A table works as well: rubric.csv with the columns criterion, level, points, description in place of this file.
rubric_id: example
title: Example
criteria:
  - criterion_id: correctness
    name: Correctness
    description: Does it do what the assignment asks?
    max_points: 6
    # Which points of a level's range count: min, mid or max. Here each level has one number of points.
    levels:
      - {label: Complete, description: Every part is solved., score_min: 6, score_max: 6}
      - {label: In part, description: The main part is solved., score_min: 3, score_max: 3}
      - {label: Missing, description: No part is solved., score_min: 0, score_max: 0}
  - criterion_id: clarity
    name: Clarity
    description: Can a fellow student follow it?
    max_points: 4
    levels:
      - {label: Clear, score_min: 4, score_max: 4}
      - {label: With effort, score_min: 2, score_max: 2}
      - {label: Unclear, score_min: 0, score_max: 0}
# overall_bands:              # names for ranges of the total; optional
#   - {label: Passed, score_min: 5, score_max: 10}
#   - {label: Failed, score_min: 0, score_max: 4.9}
"""
STARTER: Mapping[str, str] = {
    "kit.toml": _SETTINGS,
    "assignment.md": "<!-- gradequeue: the text of the assignment, as the students have it. Comments like this one are "
    "not sent. -->\n",
    "solution.md": "<!-- gradequeue: a reference solution, if there is one. The model sees it, students do not. -->\n",
    "notes.md": "<!-- gradequeue: notes for the grader: what counts, what does not, what was allowed. -->\n",
    "template.md": "<!-- gradequeue: what the model is asked. {submission} is what a student handed in; assignment, "
    "rubric, solution\nand notes come by themselves. -->\n"
    "Grade this student's submission. Be fair, concrete and brief, and speak to the student.\n\n{submission}\n",
    "rubric.yaml": STARTER_RUBRIC,
    "roster.csv": "id,name,email,number,section\n",
}
"""File -> its text."""


def write_starter(folder: Path) -> list[Path]:
    """Make the folder with its files, in order. `InvalidInput` when one of them is there: nothing is overwritten."""
    present = [name for name in STARTER if (folder / name).exists()]
    if present:
        raise InvalidInput(f"{present[0]} is there already; name a new folder", where=str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in STARTER.items():
            with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise InvalidInput(f"cannot be written: {error.strerror}", where=str(folder)) from None
    return [folder / name for name in STARTER]
