"""Every ending of a call is one of a closed set, and which one it is stands in these tables."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from workers.completion import classify
from workers.completion.classify import Blocked, Throttled, Transient, classify_answer, classify_fault
from workers.completion.fault import Fault, Reason
from workers.contract.outcome import AccountState, Failure, FailureKind, Success

NOW = 1_700_000_000.0


class Answer(BaseModel):
    summary: str
    score: int = Field(ge=0, le=100)


class Picky(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def refuse(cls, value: str) -> str:
        raise ValueError(value)


class Measured(BaseModel):
    share: float


def completion(content: object = None, *, refusal: object = None, finish_reason: object = "stop") -> SimpleNamespace:
    message = SimpleNamespace(content=content, refusal=refusal)
    return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason=finish_reason)])


GOOD = '{"summary": "fine", "score": 90}'


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (completion(GOOD, refusal="I cannot"), FailureKind.REFUSED, "refused"),
        (completion(None, refusal="I cannot"), FailureKind.REFUSED, "refused"),
        (completion('{"summary": "fi', finish_reason="length"), FailureKind.TRUNCATED, "max_tokens"),
        (completion("", finish_reason="length"), FailureKind.TRUNCATED, "max_tokens"),
        (completion("", finish_reason="content_filter"), FailureKind.CONTENT_FILTERED, "filter"),
        (completion(None), FailureKind.INVALID_OUTPUT, "Empty response"),
        (completion(""), FailureKind.INVALID_OUTPUT, "Empty response"),
        (completion("  \n"), FailureKind.INVALID_OUTPUT, "Empty response"),
        (completion([{"type": "text", "text": GOOD}]), FailureKind.INVALID_OUTPUT, "Empty response"),
        (SimpleNamespace(choices=[]), FailureKind.INVALID_OUTPUT, "Empty response"),
        (completion("not json"), FailureKind.INVALID_OUTPUT, "does not fit Answer (1 validation error)"),
        (completion('{"score": 900}'), FailureKind.INVALID_OUTPUT, "does not fit Answer (2 validation errors)"),
        (completion("[" * 100_000), FailureKind.INVALID_OUTPUT, "does not fit Answer"),
    ],
)
def test_an_answer_that_is_no_result_has_a_kind(answer: object, kind: object, message: str):
    ending = classify_answer(answer, Answer)

    assert isinstance(ending, Failure)
    assert ending.kind is kind
    assert message in ending.message


def test_a_valid_answer_is_a_success():
    assert classify_answer(completion(GOOD), Answer) == Success(Answer(summary="fine", score=90))


def test_attributes_that_are_no_text_are_not_taken_for_text():
    answer = MagicMock()
    answer.choices = [MagicMock()]
    answer.choices[0].message.content = GOOD

    assert isinstance(classify_answer(answer, Answer), Success)


def test_a_refusal_keeps_the_models_words_out_of_the_message():
    ending = classify_answer(completion(None, refusal="I cannot grade Anna's essay"), Answer)

    assert isinstance(ending, Failure)
    assert ending.refusal == "I cannot grade Anna's essay"
    assert "Anna" not in ending.message
    assert "Anna" not in repr(ending)


@pytest.mark.parametrize(
    ("model", "content"),
    [
        (Picky, '{"name": "Anna"}'),
        (Measured, '{"share": "a lot"}'),
        (Answer, '{"summary": NaN, "score": 1}'),
        (Answer, '{"summary": "\\ud800", "score": 1}'),
    ],
)
def test_validation_errors_are_json_and_the_message_holds_no_answer(model: type[BaseModel], content: object):
    ending = classify_answer(completion(content), model)

    assert isinstance(ending, Failure)
    assert json.loads(json.dumps(ending.validation_errors, allow_nan=False))
    assert ending.raw_output == content
    assert "Anna" not in ending.message


def test_the_list_of_validation_errors_is_bounded():
    class Numbers(BaseModel):
        numbers: list[int]

    ending = classify_answer(completion(json.dumps({"numbers": ["x"] * 1_000})), Numbers)

    assert isinstance(ending, Failure)
    assert len(ending.validation_errors) == 50
    assert "1000 validation errors" in ending.message


def fault(status: int | None = None, code: str | None = None, **more: object) -> Fault:
    return Fault(reason=Reason.ANSWERED, status_code=status, code=code, **more)


@pytest.mark.parametrize(
    ("given_fault", "account"),
    [
        *((fault(429, code), AccountState.QUOTA_EXHAUSTED) for code in sorted(classify.BILLING)),
        (fault(429, None, type="insufficient_quota"), AccountState.QUOTA_EXHAUSTED),
        (fault(402, "402"), AccountState.QUOTA_EXHAUSTED),
        (fault(None, "insufficient_quota"), AccountState.QUOTA_EXHAUSTED),
        (fault(401, "invalid_api_key"), AccountState.AUTH_FAILED),
        (fault(401), AccountState.AUTH_FAILED),
        (fault(None, "invalid_api_key"), AccountState.AUTH_FAILED),
        (fault(403, "unsupported_country_region_territory"), AccountState.AUTH_FAILED),
    ],
)
def test_answers_about_the_account_block_it(given_fault: Fault, account: AccountState):
    ending = classify_fault(given_fault, now=NOW)

    assert isinstance(ending, Blocked)
    assert ending.account is account


@pytest.mark.parametrize(
    ("given_fault", "wait_seconds"),
    [
        (fault(429, "rate_limit_exceeded"), None),
        (fault(429, "rate_limit_exceeded", headers={"retry-after": "3"}), 3.0),
        (fault(429, "rate_limit_exceeded", message="Please try again in 1.2s."), 1.2),
        (fault(429, "429", own_wait_seconds=2.5), 2.5),
        (fault(503, "slow_down", headers={"retry-after-ms": "10"}), 0.01),
        (fault(None, "rate_limit_exceeded"), None),
        (fault(429, headers={"x-should-retry": "true"}), None),
    ],
)
def test_a_limit_that_passes_throttles_with_the_servers_wait(given_fault: Fault, wait_seconds: float | None):
    ending = classify_fault(given_fault, now=NOW)

    assert isinstance(ending, Throttled)
    assert ending.wait_seconds == wait_seconds
    assert "Rate limit exceeded" in ending.message


@pytest.mark.parametrize(
    ("given_fault", "kind"),
    [
        (fault(429, "rate_limit_exceeded", headers={"x-should-retry": "false"}), FailureKind.REJECTED_REQUEST),
        (fault(429, "rate_limit_exceeded", message="Request too large for gpt-4o"), FailureKind.REJECTED_REQUEST),
        (fault(400, "context_length_exceeded"), FailureKind.CONTEXT_TOO_LONG),
        (fault(400, None, message="This model's maximum context length is 8192 tokens"), FailureKind.CONTEXT_TOO_LONG),
        (fault(400, None, type="exceed_context_size_error"), FailureKind.CONTEXT_TOO_LONG),
        (fault(413), FailureKind.CONTEXT_TOO_LONG),
        (fault(400, "content_filter"), FailureKind.CONTENT_FILTERED),
        (fault(400, "invalid_prompt"), FailureKind.CONTENT_FILTERED),
        (fault(403, "403", message="Input was flagged by moderation"), FailureKind.CONTENT_FILTERED),
        (fault(400, "invalid_value"), FailureKind.REJECTED_REQUEST),
        (fault(403, "model_not_found"), FailureKind.REJECTED_REQUEST),
        (fault(404, "model_not_found"), FailureKind.REJECTED_REQUEST),
        (fault(408), FailureKind.REJECTED_REQUEST),
        (fault(409), FailureKind.REJECTED_REQUEST),
        (fault(422), FailureKind.REJECTED_REQUEST),
        (fault(301), FailureKind.REJECTED_REQUEST),
        (fault(None, None, type="invalid_request_error"), FailureKind.REJECTED_REQUEST),
        (Fault(reason=Reason.UNSENDABLE), FailureKind.REJECTED_REQUEST),
    ],
)
def test_what_no_retry_can_cure_is_a_failure(given_fault: Fault, kind: object):
    ending = classify_fault(given_fault, now=NOW)

    assert isinstance(ending, Failure)
    assert ending.kind is kind


@pytest.mark.parametrize(
    ("given_fault", "timed_out"),
    [
        (fault(500, "server_error"), False),
        (fault(503, "server_is_overloaded"), False),
        (fault(529), False),
        (fault(None, "server_error"), False),
        (fault(None), False),
        (Fault(reason=Reason.TIMED_OUT), True),
        (Fault(reason=Reason.CONNECTION), False),
        (Fault(reason=Reason.GARBLED, status_code=200), False),
    ],
)
def test_what_may_pass_is_transient(given_fault: Fault, timed_out: object):
    ending = classify_fault(given_fault, now=NOW)

    assert isinstance(ending, Transient)
    assert ending.timed_out is timed_out
    assert ending.status_code == given_fault.status_code


def test_a_server_error_keeps_the_servers_wait():
    ending = classify_fault(fault(503, headers={"retry-after": "5"}), now=NOW)

    assert isinstance(ending, Transient)
    assert ending.wait_seconds == 5.0


def test_an_empty_bucket_says_nothing_about_a_server_error():
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}

    limited = classify_fault(fault(429, headers=headers), now=NOW)
    failed = classify_fault(fault(500, headers=headers), now=NOW)

    assert isinstance(limited, Throttled)
    assert limited.wait_seconds == 360.0
    assert isinstance(failed, Transient)
    assert failed.wait_seconds is None


def test_the_providers_own_words_never_stand_in_a_message():
    words = "Incorrect API key provided: sk-secret. You sent: Anna's essay"

    for status in (None, 400, 401, 403, 404, 429, 500):
        ending = classify_fault(fault(status, "some code with Anna in it", message=words, param="Anna's"), now=NOW)

        assert not isinstance(ending, Success)
        assert "Anna" not in repr(ending)
        assert "sk-secret" not in repr(ending)


TEXTS = st.one_of(st.none(), st.text(max_size=20), st.sampled_from(sorted(classify.BILLING | {"slow_down"})))


FAULTS = st.builds(
    Fault,
    reason=st.sampled_from(Reason),
    status_code=st.one_of(st.none(), st.integers(-1, 999)),
    code=TEXTS,
    type=TEXTS,
    param=TEXTS,
    message=st.text(max_size=60),
    headers=st.dictionaries(st.sampled_from(["retry-after", "x-should-retry"]), st.text(max_size=10)),
)


@given(given_fault=FAULTS)
def test_every_fault_has_an_ending(given_fault: Fault):
    ending = classify_fault(given_fault, now=NOW)

    assert isinstance(ending, Failure | Throttled | Transient | Blocked)
    assert not isinstance(ending, Failure) or ending.kind in FailureKind


@given(
    content=st.one_of(st.none(), st.text(), st.integers(), st.just(GOOD)),
    refusal=st.one_of(st.none(), st.text(), st.booleans()),
    finish_reason=st.one_of(st.none(), st.sampled_from(["stop", "length", "content_filter", "tool_calls", "error"])),
)
def test_every_answer_has_an_ending(content: object, refusal: object, finish_reason: object):
    ending = classify_answer(completion(content, refusal=refusal, finish_reason=finish_reason), Answer)

    assert isinstance(ending, Success | Failure)
