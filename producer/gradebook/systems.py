"""The systems that a gradebook is written for, by the names that `--for` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.gradebook.canvas import CanvasRules
from producer.gradebook.moodle import MoodleRules
from producer.gradebook.others import BLACKBOARD, GRADESCOPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.gradebook.filling import Rules

SYSTEMS: Mapping[str, Rules] = {
    "moodle": MoodleRules(),
    "canvas": CanvasRules(),
    "gradescope": GRADESCOPE,
    "blackboard": BLACKBOARD,
}
WHERE_TO_EXPORT: Mapping[str, str] = {
    "moodle": "Assignment > Submissions > Download grading worksheet",
    "canvas": "Grades > Export > Export Entire Gradebook",
    "gradescope": "Review Grades > Download Grades > Download CSV",
    "blackboard": "Gradebook > Download Grades, as comma- or tab-separated text",
}
