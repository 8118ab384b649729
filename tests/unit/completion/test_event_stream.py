"""A completion put together from its events says what the whole body would have said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workers.completion.transport.chat_completion import Completion
from workers.completion.transport.event_stream import BrokenOffError, completion_of_events


def event(delta: dict[str, Any] | None = None, finish_reason: str | None = None, **members: object) -> str:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason}
    return f"data: {json.dumps({'model': 'm-1', 'choices': [choice], **members}, ensure_ascii=False)}\n\n"


END = "data: [DONE]\n\n"
WHOLE = event({"role": "assistant", "content": ""}) + event({"content": "{}"}) + event(finish_reason="stop")


def read(text: str) -> Completion:
    completion = completion_of_events(text)
    assert isinstance(completion, Completion)
    return completion


def answer(text: str) -> tuple[str | None, str | None, str | None]:
    """Content, refusal and finish reason."""
    [choice] = read(text).choices or []
    assert choice.message is not None
    return choice.message.content, choice.message.refusal, choice.finish_reason


def test_pieces_are_joined_and_the_last_event_tells_the_usage():
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}
    text = (
        event({"role": "assistant", "content": ""}, service_tier="default", usage=None)
        + event({"content": '{"summary":'})
        + event({"content": '"good"}'}, system_fingerprint="fp_1")
        + event(finish_reason="stop")
        + f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
        + END
    )

    completion = read(text)

    assert answer(text) == ('{"summary":"good"}', None, "stop")
    assert (completion.model, completion.service_tier, completion.system_fingerprint) == ("m-1", "default", "fp_1")
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (7, 3)
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.prompt_tokens_details.cached_tokens == 5


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_line_end_of_the_standard_and_no_other_ends_a_line(line_end: str):
    text = (event({"content": "a\u2028b\x85c\x0bd"}) + event(finish_reason="stop") + END).replace("\n", line_end)

    assert answer(text)[0] == "a\u2028b\x85c\x0bd"


def test_comments_other_fields_and_a_missing_space_are_no_trouble():
    text = ": keep-alive\n\nevent: message\nid: 3\n" + WHOLE.replace("data: ", "data:") + ": keep-alive\n\n" + END

    assert answer(text) == ("{}", None, "stop")


def test_an_event_of_several_lines_is_one():
    text = 'data: {"choices": [{"index": 0, "delta": {"content": "x"},\ndata: "finish_reason": "stop"}]}\n\n'

    assert answer(text) == ("x", None, "stop")


def test_a_refusal_is_a_refusal():
    text = event({"refusal": "I "}) + event({"refusal": "cannot"}) + event(finish_reason="stop") + END

    assert answer(text) == (None, "I cannot", "stop")


def test_the_end_of_the_stream_need_not_be_said_when_the_answer_has_ended():
    assert answer(WHOLE) == ("{}", None, "stop")


@pytest.mark.parametrize("text", [event({"content": "{"}), event({"content": "{"}) + END], ids=["cut", "ended"])
def test_a_stream_that_ends_before_the_answer_is_no_answer(text: str):
    with pytest.raises(BrokenOffError):
        completion_of_events(text)


@pytest.mark.parametrize("text", ["data: {broken\n\n", "data: [1]\n\n", 'data: "x"\n\n'])
def test_what_is_no_event_of_this_api_is_an_error(text: str):
    with pytest.raises(ValueError):  # noqa: PT011 - json's own among them
        completion_of_events(text)


def test_an_error_among_the_events_is_the_completions():
    error = {"message": "Provider returned error", "code": 500}

    completion: Any = read(event({"content": "{"}) + f"data: {json.dumps({'error': error})}\n\n")

    assert completion.error == error
    assert completion.choices is None


@pytest.mark.parametrize("choices", [None, {}, "x", [], [None], [{"index": 1, "delta": {"content": "x"}}]])
def test_an_answer_without_a_choice_has_none(choices: object):
    assert read(f"data: {json.dumps({'model': 'm', 'choices': choices})}\n\n{END}").choices == []


def test_members_of_other_types_are_passed_over():
    text = event({"content": 3}) + 'data: {"choices": [{"index": 0, "delta": 7}]}\n\n' + WHOLE

    assert answer(text) == ("{}", None, "stop")


@pytest.mark.parametrize("text", ["", "<!DOCTYPE html><html></html>", "internal error"])
def test_text_without_events_is_left_to_others(text: str):
    assert completion_of_events(text) == text
