"""Points and their maximum keep to one scale: in a student's feedback, and between the grades and the system's file."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from producer.cli.gradebook import gradebook
from producer.gradebook.feedback import feedback_html, feedback_markdown
from producer.gradebook.feedback_pdf import paragraphs
from producer.gradebook.filling import fill
from producer.gradebook.grade import Grade, Score, score_of
from producer.gradebook.sheet import Sheet
from producer.gradebook.systems import SYSTEMS
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

OUT_OF_20 = Score(Decimal(17), Decimal(20))
SEVENTEEN = {
    "moodle": (
        "Identifier,Full name,Status,Grade,Maximum Grade,Grade can be changed\nParticipant 7,Ada Byron,-,,100.00,Yes\n",
        Grade(id="7", score=OUT_OF_20, metadata={"number": "7", "name": "Ada Byron"}),
    ),
    "canvas": (
        'Student,ID,Section,Week 3 (4711)\n    Points Possible,,,100.0\n"Byron, Ada",5,A,\n',
        Grade(id="5", score=OUT_OF_20, metadata={"canvas_id": "5", "name": "byronada"}),
    ),
    "blackboard": (
        '"Username","Week 3 [Total Pts: 100 Score] |1"\n"ada1",""\n',
        Grade(id="ada1", score=OUT_OF_20, metadata={"user": "ada1"}),
    ),
    "gradescope": (
        "Name,SID,Email,Total Score,Max Points\nAda Byron,01,a@s.example,,100.0\n",
        Grade(id="a@s.example", score=OUT_OF_20, metadata={"email": "a@s.example"}),
    ),
}
"""By system: a file whose maximum is 100, and a grade of 17 of 20 of its student."""


def eighteen_of_twenty(*, scale_to: str | None) -> Grade:
    result = {
        "work": "assessable",
        "criteria": {
            "correct": {"evidence": "x", "feedback": "Runs.", "level": "Strong", "max_points": 12.0, "points": 12.0},
            "style": {"evidence": "y", "feedback": "Tidy.", "level": "Fair", "max_points": 8.0, "points": 6.0},
            "tests": {"cannot_assess": "None was handed in.", "max_points": 4.0, "points": None},
        },
        "total_points": 18.0,
        "max_points": 20.0,
        "assessed_points": 18.0,
        "not_assessed": ["tests"],
    }
    return Grade(
        id="7000",
        score=score_of(result, scale_to=None if scale_to is None else Decimal(scale_to)),
        result=result,
        criteria={"correct": "Correctness of the program", "style": "Style", "tests": "Tests"},
    )


@pytest.mark.parametrize(
    ("scale_to", "said"),
    [(None, "18 of 20"), ("100", "90 of 100 (18 of 20)"), ("20", "18 of 20"), ("7", "6.3 of 7 (18 of 20)")],
)
def test_feedback_says_points_and_maximum_on_one_scale_in_every_format(scale_to: str | None, said: str):
    grade = eighteen_of_twenty(scale_to=scale_to)
    page = feedback_markdown(grade, title="week 3")
    assert f"**Points: {said}**\n" in page
    assert page.count("Points:") == 1
    assert f"<b>Points: {said}</b>" in feedback_html(grade, title="week 3")
    assert f"<b>Points: {said}</b>" in [text for text, _level in paragraphs(page.splitlines())]


def test_feedback_names_the_rubrics_criteria_with_points_and_level_and_no_word_of_ours():
    page = feedback_markdown(eighteen_of_twenty(scale_to="100"), title="week 3")
    for line in (
        "## Correctness of the program: 12 of 12",
        "**Level:** Strong",
        "## Style: 6 of 8",
        "**Level:** Fair",
        "## Tests: not assessed (of 4)",
        "**Not assessed:** None was handed in.",
    ):
        assert line in page.splitlines()
    assert "## Style: 6 of 8\n\n**Level:** Fair\n\n**Evidence:** y\n\n**Feedback:** Tidy.\n" in page
    for word in ("assessable", "Assessed points", "## Correct\n", "## Criteria", "- tests"):
        assert word not in page
    grade = eighteen_of_twenty(scale_to=None)
    other = Grade(id="1", score=grade.score, result={**(grade.result or {}), "work": "unreadable"})
    assert "**Your work:** it could not be read" in feedback_markdown(other, title="week 3")


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_file_with_another_maximum_is_refused_until_the_user_says_what_is_meant(tmp_path: Path, system: str):
    text, grade = SEVENTEEN[system]
    path = tmp_path / "export.csv"
    path.write_text(text)
    sentence = (
        "the file's maximum is 100, the grades' maximum is 20: "
        "give --scale-to 100 to convert the points, or --as-is to write them as they are"
    )
    for factor, objection in ((20, sentence), (10, "the grades' maximum is 10:")):
        another = replace(grade, score=OUT_OF_20.scaled(Decimal(factor)))
        with pytest.raises(InvalidInput, match=objection):
            fill(Sheet.load(path), [another], SYSTEMS[system])
    as_is = fill(Sheet.load(path), [grade], SYSTEMS[system], as_is=True)
    assert list(as_is.written.values()) == ["17"]
    converted = replace(grade, score=OUT_OF_20.scaled(Decimal(100)))
    assert list(fill(Sheet.load(path), [converted], SYSTEMS[system]).written.values()) == ["85"]


def test_a_maximum_that_one_side_does_not_say_is_no_other_maximum(tmp_path: Path):
    text, grade = SEVENTEEN["moodle"]
    path = tmp_path / "export.csv"
    path.write_text(text)
    unsaid = replace(grade, score=Score(Decimal(17)))
    assert list(fill(Sheet.load(path), [unsaid], SYSTEMS["moodle"]).written.values()) == ["17"]
    path.write_text(text.replace("100.00", "-"))
    assert list(fill(Sheet.load(path), [grade], SYSTEMS["moodle"]).written.values()) == ["17"]


def test_points_as_they_are_and_converted_points_are_not_asked_for_together(tmp_path: Path):
    asked = ["b", "--for", "moodle", "--as-is", "--scale-to", "100", "--data-dir", str(tmp_path)]
    told = CliRunner().invoke(gradebook, asked, standalone_mode=False)
    assert told.exit_code == 2
    assert "give one of the two" in told.output
