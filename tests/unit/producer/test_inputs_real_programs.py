"""500 real programs become rubric jobs, and the totals of their answers agree with a second computation."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from producer.inputs import check_items, read_items
from producer.inputs.specs import JobDefaults, build_spec
from producer.inputs.templates import Template
from workers.contract.job import JobParameters, JobSpec
from workers.contract.schemas.rubric_assessment import build
from workers.contract.schemes.fence import Fence
from workers.contract.schemes.rubric import select_rubric
from workers.contract.schemes.rubric_prompt import build_prompt_section
from workers.contract.strict.schema import decode

REAL = Path(__file__).parents[3].parent / "shared" / "data"
RUBRICS = REAL / "cpcc_rubrics.json"
TEMPLATE = Template.parse("Program {id}:\n{code}")

pytestmark = pytest.mark.skipif(not RUBRICS.exists(), reason="the real programs are not here")


def _five_hundred(rubric_id: str) -> list[JobSpec]:
    rubric = select_rubric(RUBRICS, rubric_id)
    items = (item for number in (1, 2, 3) for item in islice(read_items(REAL / f"nus_python_q{number}.jsonl"), 200))
    defaults = JobDefaults(
        template=TEMPLATE.bind(["id", "code"]),
        schema="rubric_assessment",
        model="some-model",
        parameters=JobParameters(),
        section=build_prompt_section(rubric),
    )
    return [build_spec(item, defaults) for item in islice(items, 500)]


def _answer(spec: JobSpec, rubric: dict[str, Any]) -> dict[str, Any]:
    """What a model might say, drawn by the job's id, with the criteria in an order of its own."""
    draw = random.Random(spec.id)  # noqa: S311 - a model's whim, not a secret
    criteria = [(criterion["criterion_id"], _said(criterion, draw)) for criterion in rubric["criteria"]]
    draw.shuffle(criteria)
    return {"work": "assessable", "criteria": dict(criteria), "overall_feedback": "…"}


def _said(criterion: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    said: dict[str, Any] = {"evidence": "…", "feedback": "…"}
    if criterion.get("scoring_mode") != "error_count":
        return said | {"level": draw.choice(criterion["levels"])["label"]}
    error = {"description": "…", "evidence": "…", "line_numbers": [1]}
    return said | {"errors": [error | {"severity": draw.choice(["major", "minor"])} for _ in range(draw.randrange(8))]}


def _computed_here(answer: dict[str, Any], rubric: dict[str, Any]) -> tuple[float, str]:
    """The same numbers from the file's own JSON, in whole hundredths of a point."""
    hundredths = 0
    for criterion_id, said in answer["criteria"].items():
        (criterion,) = [each for each in rubric["criteria"] if each["criterion_id"] == criterion_id]
        if "level" in said:
            hundredths += next(
                round(100 * each["score_min"]) for each in criterion["levels"] if each["label"] == said["level"]
            )
            continue
        rules = criterion["error_rules"]
        minor = [error["severity"] for error in said["errors"]].count("minor")
        converted = minor // rules["error_conversion"]["minor_to_major_ratio"]
        major = len(said["errors"]) - minor + converted
        minor -= converted * rules["error_conversion"]["minor_to_major_ratio"]
        lost = major * round(100 * rules["major_weight"]) + minor * round(100 * rules["minor_weight"])
        hundredths += max(0, round(100 * criterion["max_points"]) - lost)
    total = hundredths / 100
    band = next(each["label"] for each in rubric["overall_bands"] if each["score_min"] <= total <= each["score_max"])
    return total, band


@pytest.mark.parametrize("rubric_id", ["default_100pt_rubric", "csc134_cpp_exam_rubric"])
def test_totals_and_bands_of_500_programs_agree_with_an_independent_computation(rubric_id: str):
    rubric = json.loads(RUBRICS.read_text())[rubric_id]
    model = build(select_rubric(RUBRICS, rubric_id).context())
    specs = _five_hundred(rubric_id)
    assert len({spec.id for spec in specs}) == 500
    totals = set()
    for spec in specs:
        answer = _answer(spec, rubric)
        result = decode(model, json.dumps(answer)).model_dump(mode="json")
        assert (result["total_points"], result["band"]) == _computed_here(answer, rubric)
        totals.add(result["total_points"])
    assert len(totals) > 10


@pytest.mark.parametrize("number", [1, 2, 3])
def test_real_programs_stand_in_their_prompts_verbatim(number: int, tmp_path: Path):
    lines = (REAL / f"nus_python_q{number}.jsonl").read_text().splitlines(keepends=True)
    path = tmp_path / "programs.jsonl"
    path.write_text("".join(lines[::5]))  # their kinds recur
    checked = check_items(path, template=TEMPLATE, schema="feedback", model="some-model", parameters=JobParameters())
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert checked.count == len(rows)
    fence = Fence.draw()
    assert [fence.contents(spec.prompt) for spec in checked.specs(fence)] == [[row["id"], row["code"]] for row in rows]
