"""Which fault a call meets: by marker, by count, by rate."""

from random import Random

import pytest

from ops.standin.errors import ApiError
from ops.standin.faults import Fault, FaultScript, marked_fault, parse_fault_rule


def script(*rules: str, seed: int = 0) -> FaultScript:
    return FaultScript(tuple(parse_fault_rule(rule) for rule in rules), random=Random(seed))  # noqa: S311 - scripted faults, not secrets


def faults_of(script: FaultScript, calls: int, prompt: str = "text") -> list[Fault | None]:
    return [script.next_fault(prompt, call_number=number + 1) for number in range(calls)]


def test_a_count_takes_the_first_calls_in_the_order_written():
    assert faults_of(script("server_error@2", "hang@1"), 4) == [
        Fault.SERVER_ERROR,
        Fault.SERVER_ERROR,
        Fault.HANG,
        None,
    ]


def test_a_rate_hits_that_share_of_the_calls_and_the_same_calls_for_the_same_seed():
    calls = faults_of(script("server_error=0.2", "html=0.1"), 5_000)
    assert 900 < calls.count(Fault.SERVER_ERROR) < 1_100
    assert 430 < calls.count(Fault.HTML) < 570
    assert calls == faults_of(script("server_error=0.2", "html=0.1"), 5_000)
    assert calls != faults_of(script("server_error=0.2", "html=0.1", seed=1), 5_000)


def test_a_marker_without_a_count_holds_for_every_call():
    assert [marked_fault("a [[standin:refusal]] b", call_number=number) for number in (1, 99)] == [Fault.REFUSAL] * 2


def test_markers_with_counts_follow_one_another():
    prompt = "[[standin:rate_limit*2]] grade this [[standin:hang*1]]"
    calls = [marked_fault(prompt, call_number=number) for number in range(1, 5)]
    assert calls == [Fault.RATE_LIMIT, Fault.RATE_LIMIT, Fault.HANG, None]


def test_a_marker_comes_before_the_script_and_leaves_its_counts_alone():
    scripted = script("server_error@1")
    assert scripted.next_fault("[[standin:html]]", call_number=1) is Fault.HTML
    assert scripted.next_fault("plain", call_number=1) is Fault.SERVER_ERROR


def test_a_misspelt_marker_is_refused_instead_of_ignored():
    with pytest.raises(ApiError, match="no fault 'refusals'"):
        marked_fault("[[standin:refusals]]", call_number=1)


@pytest.mark.parametrize("text", ["hang", "hang=", "hang=1.5", "hang@-1", "wrong=0.1", "hang=0.1@3", ""])
def test_a_rule_that_cannot_be_meant_is_an_error(text: str):
    with pytest.raises(ValueError, match=r"fault|rate"):
        parse_fault_rule(text)


@pytest.mark.parametrize("text", ["hang=0.25", "error_200@3"])
def test_a_rule_is_written_as_it_was_read(text: str):
    assert str(parse_fault_rule(text)) == text
