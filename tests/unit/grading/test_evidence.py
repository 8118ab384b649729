"""Quotations are looked up in the work: what an editor changes is found, what nobody wrote is not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel

from workers.contract.evidence import Evidence, quotations
from workers.contract.schemes.fence import Fence
from workers.contract.strict.schema import strict_schema
from workers.grading.evidence.check import check_evidence, fenced_works, with_works
from workers.grading.evidence.folding import Submission
from workers.grading.evidence.lookup import lines_of

WORK = """def search(x, seq):
    \"\"\"Find where x belongs; return its index.\"\"\"
    for i in range(len(seq)):
        if x <= seq[i]:
            print("found\\n")
            return i
    return len(seq)
"""
SUBMISSION = Submission(WORK)


@pytest.mark.parametrize(
    ("quotation", "lines"),
    [
        ("if x <= seq[i]:", {4}),
        ("for i in range(len(seq)):\n        if x <= seq[i]:", {3, 4}),
        ("for i in range( len(seq) ):   if x<=seq[i]:", {3, 4}),
        ("`if x <= seq[i]:`", {4}),
        ("if x &lt;= seq[i]:", {4}),
        ("print(\u201cfound\\n\u201d)", {5}),
        ('print(\\"found\\\\n\\")', {5}),
        ("4: if x <= seq[i]:", {4}),
        ("line 4: if x <= seq[i]:\nline 5: print('found", {4, 5}),
        ("seq", {1, 3, 4, 7}),
        ("for i in range ... return i", set()),
        ("[...] if x <= seq[i]: \u2026 return len(seq)", set()),
        ("Find where x belonsg; return its index", None),
        ("Find where x belogns; returns its index", None),
        ("Find where x belong; return its index", set()),
        ("", set()),
    ],
)
def test_what_was_handed_in_is_found_with_its_lines(quotation: str, lines: set[int] | None):
    assert lines_of(quotation, SUBMISSION) == lines


@pytest.mark.parametrize(
    "quotation",
    [
        "if x < seq[i]:",
        "if y <= seq[i]:",
        "return len(seq) - 1",
        "for i in range(1, len(seq)):",
        "return len(seq) ... for i in range",
        "The student forgot the docstring.",
        "while True:",
        "return len(sequence)",
    ],
)
def test_what_nobody_wrote_is_not_found(quotation: str):
    assert lines_of(quotation, SUBMISSION) is None


class Finding(BaseModel):
    evidence: Evidence
    line_numbers: list[int]


class Report(BaseModel):
    summary: str
    findings: list[Finding]
    loose: list[Evidence] = Field(description="x")
    best: Evidence | None


def report(**changes: object) -> Report:
    values = {"summary": "s", "findings": [], "loose": [], "best": None}
    return Report.model_validate(values | changes)


def test_a_schema_with_evidence_is_a_schema_with_strings():
    wire = strict_schema(Report)
    assert wire["properties"]["loose"]["items"] == {"type": "string"}
    written = report(best="if x").model_dump_json()
    assert '"best":"if x"' in written


def test_every_quotation_that_is_missing_is_named_by_its_path():
    finding = {"evidence": "never written", "line_numbers": [4]}
    answer = report(findings=[{"evidence": "return i", "line_numbers": []}, finding], loose=["x", "nor this one"])
    check = check_evidence(answer, [WORK])
    assert check.not_found == ("findings[1].evidence", "loose[1]")
    assert check.checked == 4
    assert [flag.path for flag in check.flags] == list(check.not_found)
    assert "never" not in "".join(flag.message for flag in check.flags)


@pytest.mark.parametrize(("told", "right"), [([4], [4]), ([9], [4]), ([], []), ([3, 4], [4])])
def test_wrong_line_numbers_are_put_right(told: list[int], right: list[int]):
    answer = report(findings=[{"evidence": "if x <= seq[i]:", "line_numbers": told}])
    assert check_evidence(answer, [WORK]).lines_corrected == (told != right)
    assert answer.findings[0].line_numbers == right


def test_evidence_may_stand_in_any_fenced_part_and_the_instructions_are_no_work():
    fence = Fence.draw()
    prompt = f"Grade `seq` well.\n{fence.around('a', 'first part')}\n{fence.around('b', WORK)}\nBe brief.\n"
    assert fenced_works(prompt) == ["first part", WORK]
    assert check_evidence(report(loose=["first part", "return i"]), fenced_works(prompt)).not_found == ()
    assert check_evidence(report(loose=["Be brief."]), fenced_works(prompt)).not_found == ("loose[0]",)
    assert fenced_works("no fence") == []


_BLOCK = re.compile(
    r"^<<< (?P<label>[^\n]*) (?P<mark>[0-9a-f]{32})\n(?P<work>.*?)\n>>> (?P=label) (?P=mark)$", re.DOTALL | re.MULTILINE
)
"""What a fenced block is, as one pattern; too slow for every job."""
_PIECES = [
    "<<< ",
    ">>> ",
    "\n",
    "a",
    " ",
    "0" * 32,
    f"<<< a {'0' * 32}\n",
    f"\n>>> a {'0' * 32}",
    f"<<< a b {'1' * 32}\n",
]


@given(st.lists(st.sampled_from(_PIECES), max_size=14))
def test_blocks_are_what_their_pattern_says(pieces: list[str]):
    prompt = "".join(pieces)
    assert fenced_works(prompt) == [found["work"] for found in _BLOCK.finditer(prompt)]
    spans = [found.span("work") for found in _BLOCK.finditer(prompt)]
    expected = prompt
    for start, end in reversed(spans):
        expected = f"{expected[:start]}<{expected[start:end]}>{expected[end:]}"
    assert with_works(prompt, lambda work: f"<{work}>") == expected


def test_a_root_model_has_no_name_in_its_paths():
    model = RootModel[list[Evidence]]
    assert [each.path for each in quotations(model.model_validate(["a"]))] == ["[0]"]
