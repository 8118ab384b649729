"""Every ending of a call is one of a closed set, and which one it is stands in these tables."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, computed_field, field_validator

from workers.completion.classify import Blocked, Throttled, Transient, classify_answer, classify_failed_call
from workers.completion.errors.failed_call import FailedCall, Reason
from workers.completion.errors.refusals import known_refusals
from workers.contract.outcome import Failure, FailureKind, Success, Usage

NOW = 1_700_000_000.0
CODES = known_refusals().codes


class Answer(BaseModel):
    summary: str
    score: int = Field(ge=0, le=100)


class Picky(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def refuse(cls, value: str) -> str:
        raise ValueError(value)


class Crashing(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def crash(cls, value: str) -> str:
        raise {"exit": SystemExit, "interrupt": KeyboardInterrupt, "bug": RuntimeError}[value](value)


class Computing(BaseModel):
    name: str

    @computed_field  # type: ignore[prop-decorator] # pydantic's documented order of decorators
    @property
    def points(self) -> float:
        return float("nan") if self.name == "nan" else Crashing.crash(self.name)  # type: ignore[no-any-return, call-arg]


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


FENCED = f"```json\n{GOOD}\n```"
SUCCESS = Success(Answer(summary="fine", score=90))


@pytest.mark.parametrize(
    ("content", "finish_reason", "expected"),
    [
        (GOOD, "length", SUCCESS),
        (f"{GOOD}\n\n  ", "length", SUCCESS),
        (FENCED, "stop", SUCCESS),
        (f"\n```JSON\r\n{GOOD}\r\n```\n", "stop", SUCCESS),
        (f"```\n{GOOD}\n```", "stop", SUCCESS),
        (f"```json\n{GOOD}", "stop", SUCCESS),
        (f"```json\n{GOOD}\n``", "length", FailureKind.TRUNCATED),
        ("```json\n", "length", FailureKind.TRUNCATED),
        ("```json", "length", FailureKind.TRUNCATED),
        ('```json\n{"summary": "fi', "length", FailureKind.TRUNCATED),
        ('```json\n{"summary": "fi', "stop", FailureKind.TRUNCATED),
        ('{"summary": "fi', "stop", FailureKind.INVALID_OUTPUT),
        ('{"summary": "fine", "score": 900}', "length", FailureKind.INVALID_OUTPUT),
        ('```json\n{"summary": "fine"}\n```', "stop", FailureKind.INVALID_OUTPUT),
        (f"Here it is:\n{FENCED}", "stop", FailureKind.INVALID_OUTPUT),
        (f"{FENCED}\nI hope this helps.", "stop", FailureKind.INVALID_OUTPUT),
        ('```json\n{"summary": "use ```x```", "score": 1}', "stop", Success(Answer(summary="use ```x```", score=1))),
        ("```json\n" + " " * 500_000, "length", FailureKind.TRUNCATED),
        (f"{FENCED}\n{FENCED}", "stop", FailureKind.INVALID_OUTPUT),
        (f"```python\n{GOOD}\n```", "stop", FailureKind.INVALID_OUTPUT),
    ],
)
def test_a_whole_answer_is_kept_whatever_it_is_packed_in(content: str, finish_reason: str, expected: object):
    ending = classify_answer(completion(content, finish_reason=finish_reason), Answer)

    assert ending == expected or (isinstance(ending, Failure) and ending.kind is expected)
    assert isinstance(ending, Success) or ending.raw_output == content[:262_144]


@pytest.mark.parametrize(
    ("max_tokens", "completion_tokens", "words"),
    [
        (500, 500, "cut off at max_tokens (500); raise --max-tokens"),
        (500, 470, "cut off at max_tokens (500); raise --max-tokens"),
        (500, 60, "context was full after 60 tokens of the answer, before max_tokens (500): shorten the prompt"),
        (500, None, "max_tokens or at the end of the context"),
        (None, 60, "max_tokens or at the end of the context"),
        (500, 0, "max_tokens or at the end of the context"),
    ],
)
def test_a_cut_answer_says_what_cut_it(max_tokens: int | None, completion_tokens: int | None, words: str):
    ending = classify_answer(
        completion('{"summary": "fi', finish_reason="length"),
        Answer,
        max_tokens=max_tokens,
        usage=None if completion_tokens is None else Usage(completion_tokens=completion_tokens),
    )

    assert isinstance(ending, Failure)
    assert ending.kind is FailureKind.TRUNCATED
    assert words in ending.message


def test_a_limit_spent_on_reasoning_is_said_with_what_to_do_about_it():
    usage = Usage(completion_tokens=500, reasoning_tokens=500)

    ending = classify_answer(completion(None, finish_reason="length"), Answer, max_tokens=500, usage=usage)

    assert isinstance(ending, Failure)
    assert ending.kind is FailureKind.TRUNCATED
    assert "spent 500 of its max_tokens (500) on reasoning" in ending.message
    assert "--effort" in ending.message


def test_what_a_failure_keeps_of_an_answer_is_bounded_and_stored_once():
    text = "x\x00" * 400_000

    ending = classify_answer(completion(json.dumps({"summary": text, "score": "no"})), Answer)
    refused = classify_answer(completion(None, refusal=text), Answer)

    assert isinstance(ending, Failure)
    assert isinstance(refused, Failure)
    assert len(ending.raw_output or "") == len(refused.refusal or "") == 262_144
    assert "\x00" not in (refused.refusal or "")
    assert len(json.dumps(ending.validation_errors)) < 1_000


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


TEXTS = st.one_of(st.none(), st.text(max_size=20), st.sampled_from(sorted(CODES)))


FAULTS = st.builds(
    FailedCall,
    reason=st.sampled_from(Reason),
    status_code=st.one_of(st.none(), st.integers(-1, 999)),
    code=TEXTS,
    type=TEXTS,
    param=TEXTS,
    message=st.text(max_size=60),
    headers=st.dictionaries(st.sampled_from(["retry-after", "x-should-retry"]), st.text(max_size=10)),
)


@given(given=FAULTS)
def test_every_failed_call_has_an_ending(given: FailedCall):
    ending = classify_failed_call(given, now=NOW)

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


@pytest.mark.parametrize("model", [Crashing, Computing])
@pytest.mark.parametrize(
    ("name", "raised"), [("exit", SystemExit), ("interrupt", KeyboardInterrupt), ("bug", RuntimeError)]
)
def test_an_answer_over_which_the_schemas_own_code_fails_is_kept_and_not_bought_again(
    model: type[BaseModel], name: str, raised: type[BaseException]
):
    failure = classify_answer(completion(json.dumps({"name": name})), model)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.INTERNAL
    assert failure.message == f"The code of {model.__name__} itself raised {raised.__name__} on this answer"
    assert failure.raw_output == json.dumps({"name": name})


def test_a_computed_field_that_is_no_finite_number_is_no_success():
    failure = classify_answer(completion('{"name": "nan"}'), Computing)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.INTERNAL


def test_the_caller_of_the_seeds_function_gets_what_its_own_validator_raised():
    with pytest.raises(RuntimeError, match="bug"):
        classify_answer(completion('{"name": "bug"}'), Crashing, is_lenient=True)
