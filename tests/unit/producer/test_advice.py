"""After a failure: the next command as it is typed, and the same on the page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from producer.terminal.advice import enough_tokens, next_steps
from workers.contract.flag import Flag, FlagKind
from workers.contract.outcome import FailureKind, Usage

MADE_UP = Flag(kind=FlagKind.EVIDENCE_NOT_FOUND, path="evidence", message="the quotation is not in the submission")


def failed(kind: FailureKind, *, tokens: int = 0, attempts: int = 1, flags: tuple[Flag, ...] = ()) -> Any:
    usage = Usage(prompt_tokens=1, completion_tokens=tokens)
    return SimpleNamespace(failure_kind=kind, usage=usage, attempts=attempts, flags=flags)


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (FailureKind.TRUNCATED, "gradequeue retry b --kind truncated --max-tokens 8192"),
        (FailureKind.INVALID_OUTPUT, "gradequeue retry b --kind invalid_output --allow-repair"),
        (FailureKind.CONTEXT_TOO_LONG, "gradequeue retry b --kind context_too_long --model LARGER_MODEL"),
        (FailureKind.DEADLINE_EXCEEDED, "gradequeue retry b --kind deadline_exceeded --deadline 1d"),
        (FailureKind.PROVIDER_UNAVAILABLE, "gradequeue retry b --kind provider_unavailable"),
    ],
)
def test_each_kind_has_the_command_that_its_advice_means(kind: FailureKind, command: str):
    (step,) = next_steps("b", [failed(kind)])
    assert step.splitlines()[0] == f"{kind} (1): {kind.advice}"
    assert step.splitlines()[1] == f"    again: {command}"
    for option in ("--max-tokens", "--allow-repair", "--deadline"):
        assert (option in kind.advice) == (option in command), "the words and the command name the same option"


def test_an_answer_that_strict_evidence_refused_is_not_said_to_miss_the_schema():
    unfounded = failed(FailureKind.INVALID_OUTPUT, flags=(MADE_UP,))
    (step,) = next_steps("b", [unfounded])
    advice, command = step.splitlines()
    assert "quotations are not in the work" in advice
    assert "schema" not in advice
    assert command == "    again: gradequeue retry b --kind invalid_output --evidence flag"
    (both,) = next_steps("b", [unfounded, failed(FailureKind.INVALID_OUTPUT)])
    assert FailureKind.INVALID_OUTPUT.advice in both
    assert both.endswith("--evidence flag --allow-repair")


def test_a_flag_alone_changes_no_other_advice():
    (step,) = next_steps("b", [failed(FailureKind.REFUSED, flags=(MADE_UP,))])
    assert step.startswith(f"refused (1): {FailureKind.REFUSED.advice}")


def test_who_handed_in_nothing_readable_is_not_retried():
    (step,) = next_steps("b", [failed(FailureKind.NOT_GRADED)])
    assert "retry" not in step
    assert "--update" in step


def test_a_limit_that_was_too_low_before_is_doubled():
    rows = [failed(FailureKind.TRUNCATED, tokens=8192), failed(FailureKind.TRUNCATED, tokens=18_000, attempts=2)]
    assert enough_tokens(rows) == 32_768
    assert enough_tokens([]) == 8192
