"""Answers that a lax validator takes, although the schema that was sent refuses them: each is an invalid output.

*Source*: ggml-org/llama.cpp #19051 (a server that falls back to unconstrained text), vllm #12028 and #15236
(`response_format` not enforced), anthropics/claude-agent-sdk-python #510 (values as JSON strings).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta  # noqa: TC003 - pydantic reads them
from enum import IntEnum

import pytest
from pydantic import BaseModel, Field, ValidationError

from workers.contract.schemas.error_report import ErrorReport
from workers.contract.schemas.feedback import Feedback
from workers.contract.strict.schema import decode


class WithDefault(BaseModel):
    errors: list[str] = Field(default_factory=list)
    score: int = Field(default=0, ge=0, le=100)
    passed: bool = False


class Points(BaseModel):
    points: float


class Bounded(BaseModel):
    points: float = Field(ge=0, le=10)


class Passed(BaseModel):
    passed: bool
    late: bool


class Level(IntEnum):
    a = 0
    b = 1


class Levelled(BaseModel):
    level: Level


class When(BaseModel):
    day: date
    at: datetime
    took: timedelta


@pytest.mark.parametrize(
    ("model", "raw"),
    [
        (WithDefault, "{}"),
        (WithDefault, '{"errors": ["no loop"]}'),
        (WithDefault, '{"Score": 95, "errors": []}'),
        (WithDefault, '{"grade": {"score": 95}}'),
        (Feedback, '{"summary": "x", "score": true, "suggestions": []}'),
        (Feedback, '{"summary": "x", "score": "85", "suggestions": []}'),
        (Feedback, '{"summary": "x", "score": "0085", "suggestions": []}'),
        (Feedback, '{"summary": "x", "score": "1_0", "suggestions": []}'),
        (Feedback, '{"summary": "x", "score": " 85.0 ", "suggestions": []}'),
        (Feedback, '{"summary": "x", "score": 85, "suggestions": [], "score_out_of": 200}'),
        (ErrorReport, '{"major_errors": [], "minor_errors": [], "total_deduction": false, "feedback": ""}'),
        (Points, '{"points": "nan"}'),
        (Points, '{"points": "inf"}'),
        (Points, '{"points": 1e400}'),
        (Points, '{"points": true}'),
        (Bounded, '{"points": "nan"}'),
        (Bounded, '{"points": "NaN"}'),
        (Passed, '{"passed": "no", "late": 1}'),
        (Passed, '{"passed": "off", "late": "t"}'),
        (Levelled, '{"level": true}'),
        (Levelled, '{"level": "1"}'),
        (When, '{"day": 0, "at": 1.5, "took": 7}'),
        (When, '{"day": "1700000000", "at": "1700000000", "took": "7"}'),
    ],
)
def test_an_answer_outside_the_sent_schema_is_refused(model: type[BaseModel], raw: str):
    with pytest.raises(ValidationError):
        decode(model, raw)
