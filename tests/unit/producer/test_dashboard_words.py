"""What people wrote stays what they wrote, on the page and in its table."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.cli.dashboard import EVERYWHERE, LOOPBACK, page_command
from producer.page.login import is_right
from producer.page.plain_text import plain
from producer.page.tables import STANDIN_MARK, table_of
from producer.page.words import added, flag_advice, flag_lines, without_passage
from producer.terminal.gate_notices import Costs, price_of_rest
from tests.unit.producer.test_drift import row
from workers.contract.flag import Flag, FlagKind


@given(st.text())
def test_no_character_that_markdown_knows_is_left_unescaped(text: str):
    escaped = plain(text)

    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`\[\]<>#~$:|@&]", escaped)
    assert "\n" not in escaped


def test_plain_words_stay_as_they_are():
    assert plain("week 1 of Größe") == "week 1 of Größe"


def test_a_table_marks_stand_in_grades_and_counts_what_does_not_fit_a_cell():
    prose = "a sentence that goes on and on"
    result = {"feedback": prose, "score": 7, "errors": [1, 2], "passed": True, "criteria": {"style": {"points": 1}}}
    table = table_of([row("a", result, is_standin=True), row("b", None)])

    assert list(table[0].items()) == [
        ("student", "a"), ("state", "succeeded"), ("provider", STANDIN_MARK), ("failure", None), ("what to do", None),
        ("score", 7), ("errors", "2 entries"), ("passed", True), ("feedback", prose),
    ]  # fmt: skip
    assert table[1]["failure"] == "refused"
    assert "grade it by hand" in str(table[1]["what to do"])


def test_a_password_is_compared_as_a_whole():
    assert is_right("größe", "größe")
    assert not is_right("", "größe")
    assert not is_right("gröss", "größe")


@pytest.mark.parametrize("address", [LOOPBACK, EVERYWHERE])
def test_the_page_is_started_without_telemetry_watching_or_tracebacks(address: str):
    command = page_command(address, 9999)

    assert f"--server.address={address}" in command
    assert {"--browser.gatherUsageStats=false", "--client.showErrorDetails=none", "--server.headless=true"} <= {
        *command
    }
    assert "--client.disableDataExport=true" in command, "the table's own download is cut and guards no formula"


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (None, None),
        ({"failed": "refused"}, "the model gave no grade"),
        ({"differences": 2, "fields": {"total_points": {"graded": 20, "without": 10.5}}}, "10.5 instead of 20"),
        (
            {"differences": 1, "fields": {"items (number)": {"graded": 1, "without": 2}}},
            "other parts of the result differ",
        ),
        ({"differences": 1, "fields": {"total_points": {"graded": 2, "without": None}}}, "no total instead of 2"),
        ({"differences": 0, "fields": {}}, "nothing differs"),
    ],
)
def test_what_a_passage_was_worth_is_said_in_points(finding: dict[str, object] | None, said: str | None):
    found = without_passage(None if finding is None else {"counterfactual": finding})
    assert (found is None) == (said is None)
    assert said is None or said in (found or "")


def test_flags_of_one_kind_are_one_sentence_that_names_criteria_as_the_rubric_does():
    found = [
        Flag(kind=FlagKind.EVIDENCE_NOT_FOUND, path=path, message="")
        for path in ("criteria.c1.evidence", "criteria.c2.errors[0].evidence", "errors[2].evidence", "model_answer")
    ]
    places = [Flag(kind=FlagKind.INJECTION_SUSPECTED, path="line 12, characters 4-60", message="")]
    whole = [Flag(kind=FlagKind.OFF_TASK, path="", message="")]
    advice = flag_advice(FlagKind.EVIDENCE_NOT_FOUND)

    assert flag_lines([*found, *places, *whole, *whole], {"c1": "Style", "c2": "Loops"}) == [
        f"Quotation not found (Style; Loops, error 1; error 3; model answer): {advice}",
        f"Addresses the grader (line 12, characters 4-60): {flag_advice(FlagKind.INJECTION_SUSPECTED)}",
        f"Other or empty work: {flag_advice(FlagKind.OFF_TASK)}",
    ]


def test_more_places_than_one_reads_are_counted():
    found = [Flag(kind=FlagKind.CANNOT_ASSESS, path=f"criteria.c{number}", message="") for number in range(60)]

    assert flag_lines(found, {})[0].startswith("Could not judge (c0; c1; c2; c3; c4; and 55 more): ")


def test_what_an_upload_added_is_said_in_whole_sentences():
    assert added(1, 0) == "1 submission added."
    assert added(3, 2) == "3 submissions added; 2 were in the batch already and cost nothing again."


@pytest.mark.parametrize(
    ("left", "usd", "said"),
    [
        (1, (), "The last submission: the cost is not known, because the model has no price here or no submission has"),
        (21, (), "The other 21 submissions: the cost is not known"),
        (1, (0.5, 0.5), "The last submission is likely to cost $0.5000"),
        (1200, (0.5, 0.5), "The other 1,200 submissions are likely to cost $600"),
    ],
)
def test_the_price_of_the_rest_is_a_sentence_for_one_and_for_many(left: int, usd: tuple[float, ...], said: str):
    assert price_of_rest(Costs(usd=usd, to_send=left), "p", noun="submission").startswith(said)
