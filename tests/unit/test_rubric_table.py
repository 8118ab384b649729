"""Rubrics from CSV files are the rubrics that the same words in JSON would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workers.contract.errors import InvalidInput
from workers.contract.schemes.rubric import rubric_from_option

if TYPE_CHECKING:
    from pathlib import Path

CANVAS = (
    "\ufeffRubric Name,Criteria Name,Criteria Description,Criteria Enable Range,Rating Name,Rating Description,"
    "Rating Points,Rating Name,Rating Description,Rating Points,Rating Name,Rating Description,Rating Points\r\n"
    'Essay,Thesis,"clear, early",false,None,absent,0,Full,stated,10,Half,implied,5\r\n'
    "Essay,Style,,false,Good,,4,Bad,,0\r\n"
    "Other,Only,,true,Yes,,1,No,,0\r\n"
)


def test_canvas_own_file_keeps_every_rating_and_sorts_by_points(tmp_path: Path):
    path = tmp_path / "rubric.csv"
    path.write_text(CANVAS, encoding="utf-8", newline="")
    rubric = rubric_from_option(f"{path}#essay")
    thesis, style = rubric.criteria
    assert (rubric.title, rubric.max_points) == ("Essay", 14)
    assert [(level.label, level.score_max) for level in thesis.levels or ()] == [("Full", 10), ("Half", 5), ("None", 0)]
    assert (thesis.description, [level.label for level in style.levels or ()]) == ("clear, early", ["Good", "Bad"])
    assert rubric_from_option(f"{path}#other").max_points == 1


def test_a_plain_table_has_one_row_per_level(tmp_path: Path):
    path = tmp_path / "week 3.csv"
    path.write_text("Criterion;Level;Points;Description\nLoops;works;2,5;always\nLoops;fails;0;\n")
    rubric = rubric_from_option(str(path))
    assert (rubric.title, rubric.max_points) == ("week 3", 2.5)
    assert [level.description for level in rubric.criteria[0].levels or ()] == ["always", ""]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "neither Canvas's rubric file nor a table"),
        ("criterion,level,points\nLoops,works,many\n", "line 2: the points 'many' of level 'works' are no number"),
        ("criterion,level,points\n", "holds no criterion"),
        ("", "is empty"),
    ],
)
def test_another_table_is_refused_with_what_it_lacks(tmp_path: Path, text: str, sentence: str):
    path = tmp_path / "rubric.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=sentence):
        rubric_from_option(str(path))
