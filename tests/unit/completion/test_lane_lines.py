"""Lines of a batch and background responses, read: the same endings as live calls, or not run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from workers.completion.attempt import CompletionRequest
from workers.completion.chat_body import chat_body
from workers.completion.classify import Blocked, Throttled, Transient
from workers.completion.lanes.background import ended_background
from workers.completion.lanes.batches import request_line
from workers.completion.lanes.lines import ended_line, read_line
from workers.completion.lanes.responses_api import responses_body
from workers.completion.lanes.states import BackgroundState, BackgroundStatus, NotRun, NotRunReason
from workers.completion.repair import Repair
from workers.contract.outcome import Failure, FailureKind, Success, Usage


class Mark(BaseModel):
    points: int


REQUEST = CompletionRequest(
    prompt="Grade Zoë\u2028's work", model="gpt-6.1-terra", instructions="Be fair", schema_model=Mark, max_tokens=100
)
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}


def chat(content: str | None, *, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    message = {"content": content, "refusal": refusal}
    choice = {"message": message, "finish_reason": finish}
    return {"choices": [choice], "model": "gpt-6.1-terra", "usage": USAGE, "service_tier": "default"}


def answered(body: object, status: int = 200) -> dict[str, Any]:
    return {"response": {"status_code": status, "request_id": "req_1", "body": body}, "error": None}


def refused(code: str) -> dict[str, Any]:
    return {"response": None, "error": {"code": code, "message": "..."}}


def error(code: str | None, **more: object) -> dict[str, Any]:
    return {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": code, **more}}


@pytest.mark.parametrize(
    ("line", "ending"),
    [
        (answered(chat('{"points": 3}')), Success),
        (answered(chat('{"points": "3"}')), FailureKind.INVALID_OUTPUT),
        (answered(chat(None, refusal="I will not")), FailureKind.REFUSED),
        (answered(chat('{"poi', finish="length")), FailureKind.TRUNCATED),
        (answered(chat("", finish="content_filter")), FailureKind.CONTENT_FILTERED),
        (answered(error("context_length_exceeded"), 400), FailureKind.CONTEXT_TOO_LONG),
        (answered(error("invalid_value"), 400), FailureKind.REJECTED_REQUEST),
        (answered(error("rate_limit_exceeded"), 429), Throttled),
        (answered(error("insufficient_quota"), 429), Blocked),
        (answered(error(None, type="server_error"), 500), Transient),
        (answered(None), Transient),
        (answered("<html>"), Transient),
        (refused("batch_expired"), NotRunReason.EXPIRED),
        (refused("batch_cancelled"), NotRunReason.CANCELLED),
        (refused("request_timeout"), Transient),
        (refused("never_heard_of"), Transient),
        ({}, Transient),
    ],
)
def test_a_line_ends_as_a_live_call_would(line: dict[str, Any], ending: object):
    read = read_line(json.dumps({"custom_id": "job-1", **line}).encode())
    assert read is not None
    assert read.custom_id == "job-1"
    ended = ended_line(read, REQUEST)
    assert kind_of(ended.ending) == ending
    assert (ended.attempt is None) == isinstance(ending, NotRunReason)


def kind_of(ending: object) -> object:
    if isinstance(ending, Failure):
        return ending.kind
    return ending.reason if isinstance(ending, NotRun) else type(ending)


def test_a_reply_keeps_what_the_line_says_of_its_request():
    read = read_line(json.dumps({"custom_id": "a", **answered(chat('{"points": 3}'))}).encode())
    assert read is not None
    reply = ended_line(read, REQUEST).reply
    assert (reply.request_id, reply.status_code, reply.service_tier) == ("req_1", 200, "default")
    assert reply.usage == Usage(prompt_tokens=9, completion_tokens=4, cached_tokens=5)
    assert reply.parameters_sent["model"] == "gpt-6.1-terra"


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"custom_id": 3}', b'{"custom_id": ""}', b"\xff"])
def test_a_line_that_names_no_request_is_none(line: bytes):
    assert read_line(line) is None


def test_a_request_line_is_one_line_with_the_body_of_a_live_call():
    written = request_line("job-1", REQUEST)
    assert written.count(b"\n") == 1
    line = json.loads(written)
    assert (line["custom_id"], line["method"], line["url"]) == ("job-1", "POST", "/v1/chat/completions")
    assert line["body"] == chat_body(REQUEST, host=None).content
    assert "stream" not in line["body"]


def response(status: str, **more: object) -> BackgroundState:
    body = {"id": "resp_1", "status": status, "model": "gpt-6.1-terra", "service_tier": "default", **more}
    return BackgroundState(response_id="resp_1", status=BackgroundStatus(status), body=body, request_id="req_1")


def said(*parts: dict[str, str]) -> list[dict[str, Any]]:
    return [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": list(parts)}]


TEXT = {"type": "output_text", "text": '{"points": 3}'}
CUT = {"type": "output_text", "text": '{"poi'}


@pytest.mark.parametrize(
    ("state", "ending"),
    [
        (response("completed", output=said(TEXT)), Success),
        (response("completed", output=said({"type": "refusal", "refusal": "no"})), FailureKind.REFUSED),
        (response("completed", output=[]), FailureKind.INVALID_OUTPUT),
        (
            response("incomplete", output=said(CUT), incomplete_details={"reason": "max_output_tokens"}),
            FailureKind.TRUNCATED,
        ),
        (
            response("incomplete", output=[], incomplete_details={"reason": "content_filter"}),
            FailureKind.CONTENT_FILTERED,
        ),
        (response("failed", error={"code": "server_error", "message": "x"}), Transient),
        (response("failed", error={"code": "rate_limit_exceeded", "message": "x"}), Throttled),
        (response("failed", error={"code": "invalid_image", "message": "x"}), FailureKind.REJECTED_REQUEST),
        (response("failed"), Transient),
        (response("cancelled", output=[]), NotRunReason.CANCELLED),
    ],
)
def test_a_background_response_ends_as_a_live_call_would(state: BackgroundState, ending: object):
    assert kind_of(ended_background(state, REQUEST).ending) == ending


def test_a_background_responses_usage_and_tier_reach_the_reply():
    usage = {
        "input_tokens": 90,
        "output_tokens": 40,
        "input_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 10},
        "output_tokens_details": {"reasoning_tokens": 30},
    }
    reply = ended_background(response("completed", output=said(TEXT), usage=usage), REQUEST).reply
    assert reply.usage == Usage(
        prompt_tokens=90, completion_tokens=40, cached_tokens=50, cache_write_tokens=10, reasoning_tokens=30
    )
    assert (reply.service_tier, reply.request_id, reply.finish_reason) == ("default", "req_1", "stop")


def test_what_has_not_ended_is_not_read():
    with pytest.raises(ValueError, match="has not ended"):
        ended_background(response("queued"), REQUEST)


def test_the_responses_api_is_asked_the_same_with_schema_and_cache_marks():
    repaired = CompletionRequest(
        prompt="work",
        model="gpt-6.1-terra",
        instructions="Be fair",
        cache_key="k",
        schema_model=Mark,
        effort="low",
        verbosity="low",
        asks_standard_tier=True,
        repair=Repair("{}", ()),
    )
    chat_content = chat_body(repaired, host=None).content
    body = responses_body(chat_content)
    schema = chat_content["response_format"]["json_schema"]
    assert body["text"] == {"format": {"type": "json_schema", **schema}, "verbosity": "low"}
    assert [message["role"] for message in body["input"]] == ["developer", "user", "assistant", "user"]
    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": "Be fair", "prompt_cache_breakpoint": {"mode": "explicit"}}
    ]
    assert (body["max_output_tokens"], body["reasoning"]) == (4096, {"effort": "low"})
    assert (body["service_tier"], body["prompt_cache_key"]) == ("default", "k")


def test_a_parameter_without_a_counterpart_is_never_dropped_in_silence():
    with pytest.raises(KeyError, match="logit_bias"):
        responses_body({"model": "m", "logit_bias": {}})
