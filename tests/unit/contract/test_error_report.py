"""`error_report` lists errors; what they cost follows from the list and from weights that have names."""

from __future__ import annotations

import json

from workers.contract.schemas.error_report import MAJOR_ERROR_POINTS, MINOR_ERROR_POINTS, ErrorReport
from workers.contract.strict.schema import decode, strict_schema


def test_the_model_is_asked_for_no_points():
    assert strict_schema(ErrorReport)["required"] == ["major_errors", "minor_errors", "feedback"]
    assert "deduction" not in json.dumps(strict_schema(ErrorReport))


def test_the_deduction_follows_from_the_errors():
    said = {"major_errors": ["no loop"], "minor_errors": ["names", "spaces", "comments"], "feedback": "Try again."}

    result = decode(ErrorReport, json.dumps(said)).model_dump()

    assert result["total_deduction"] == MAJOR_ERROR_POINTS + 3 * MINOR_ERROR_POINTS
    assert list(result) == ["major_errors", "minor_errors", "feedback", "total_deduction"]
    assert decode(ErrorReport, '{"major_errors": [], "minor_errors": [], "feedback": ""}').total_deduction == 0
