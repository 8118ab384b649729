"""What people wrote stays what they wrote, on the page and in its table."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.commands.dashboard import EVERYWHERE, LOOPBACK, page_command
from producer.dashboard.login import is_right
from producer.dashboard.tables import STANDIN_MARK, table_of
from producer.dashboard.words import cost, duration, enqueued, listed, plain, rate
from tests.unit.producer.test_drift import row


@given(st.text())
def test_no_character_that_markdown_knows_is_left_unescaped(text: str):
    escaped = plain(text)

    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`\[\]<>#~$:|@&]", escaped)
    assert "\n" not in escaped


def test_plain_words_stay_as_they_are():
    assert plain("week 1 of Größe") == "week 1 of Größe"


def test_what_is_not_known_is_said_and_never_zero():
    assert cost(None, "api.openai.com") == "unknown"
    assert cost(0.0, "standin") == "nothing"
    assert cost(1.5, "api.openai.com") == "$1.5000"
    assert (duration(None), duration(3725), duration(0), rate(None), rate(0.5)) == ("-", "1h02m", "0s", "-", "30 / min")


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


def test_a_password_is_compared_as_a_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("producer.dashboard.login.WRONG_PASSWORD_SECONDS", 0.0)

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


def test_what_an_enqueue_did_is_counted_and_nothing_new_is_said():
    assert enqueued(1200, 0) == "1,200 new"
    assert enqueued(2, 1) == "2 new, 1 was there already"
    assert enqueued(0, 3) == "0 new, 3 were there already: nothing is graded or paid for again"


def test_words_are_listed_as_people_do():
    assert [listed("abc"[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
