"""What a request must look like: each mistake gets OpenAI's status, code and parameter."""

import json
from typing import Any

import pytest
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from ops.standin.chat_request import MAX_TEXT_CHARACTERS, ChatRequest, read_chat_request
from ops.standin.errors import ApiError
from ops.standin.parameters import PARAMETERS

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer"}},
    "required": ["score"],
    "additionalProperties": False,
}
MESSAGES = [{"role": "user", "content": "Grade this."}]


def read(*, any_model: bool = False, **changes: Any) -> ChatRequest:
    request = {"model": "gpt-4o", "messages": MESSAGES} | changes
    return read_chat_request(json.dumps(request).encode(), any_model=any_model)


def refusal(*, any_model: bool = False, **changes: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        read(any_model=any_model, **changes)
    assert (refused.value.status, refused.value.kind) == (400, "invalid_request_error")
    return refused.value


def formatted(**changes: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "Grade", "strict": True, "schema": SCHEMA} | changes}


def test_the_parameters_known_are_those_of_the_sdk():
    keys = CompletionCreateParamsNonStreaming.__annotations__ | CompletionCreateParamsStreaming.__annotations__
    assert set(PARAMETERS) == set(keys)


def test_an_ordinary_request_is_read():
    asked = read(
        temperature=0.2, max_tokens=512, response_format=formatted(), seed=7, stream=False, stop=None, tools=[]
    )
    assert (asked.model.snapshot, asked.prompt, asked.answer_tokens, asked.seed) == (
        "gpt-4o-2024-08-06",
        "Grade this.",
        512,
        7,
    )
    assert asked.prompt_tokens == 3
    assert asked.plan is not None


def test_the_same_schema_is_planned_once():
    assert read(response_format=formatted()).plan is read(response_format=formatted()).plan


@pytest.mark.parametrize(("rule", "cost"), [("max", 512), ("sum", 515)])
def test_the_cost_is_the_larger_of_reservation_and_estimate_or_their_sum(rule: str, cost: int):
    assert read(max_tokens=512).cost_tokens(rule) == cost


def test_a_repair_keeps_the_prompt_it_repairs():
    repair = read(messages=[*MESSAGES, {"role": "assistant", "content": "bad"}, {"role": "user", "content": "again"}])
    assert repair.prompt_key == read().prompt_key
    assert repair.conversation != read().conversation


@pytest.mark.parametrize(
    ("changes", "message", "param", "code"),
    [
        ({"model": ""}, "you must provide a model parameter", None, None),
        ({"top_k": 1}, "Unrecognized request argument supplied: top_k", None, None),
        ({"b": 1, "a": 1}, "Unrecognized request arguments supplied: a, b", None, None),
        ({"messages": None}, "Missing required parameter: 'messages'.", "messages", "missing_required_parameter"),
        ({"messages": []}, "Invalid 'messages': empty array", "messages", "empty_array"),
        ({"messages": "hi"}, "Invalid type for 'messages': expected an array", "messages", "invalid_type"),
        ({"messages": ["hi"]}, "Invalid type for 'messages[0]'", "messages[0]", "invalid_type"),
        ({"messages": [{"content": "x"}]}, "'messages[0].role'", "messages[0].role", "missing_required_parameter"),
        (
            {"messages": [{"role": "boss", "content": "x"}]},
            "Invalid value: 'boss'",
            "messages[0].role",
            "invalid_value",
        ),
        ({"messages": [{"role": "user"}]}, "expected a string, got null", "messages[0].content", None),
        ({"messages": [{"role": "user", "content": 1}]}, "array of objects", "messages[0].content", "invalid_type"),
        ({"temperature": 2.1}, "decimal above maximum value", "temperature", "decimal_above_max_value"),
        ({"temperature": -0.1}, "decimal below minimum value", "temperature", "decimal_below_min_value"),
        ({"temperature": float("nan")}, "decimal above", "temperature", "decimal_above_max_value"),
        ({"temperature": "0.2"}, "expected a decimal, but got a string instead", "temperature", "invalid_type"),
        ({"temperature": True}, "but got a boolean instead", "temperature", "invalid_type"),
        ({"max_tokens": 0}, "Expected a value >= 1, but got 0 instead", "max_tokens", "integer_below_min_value"),
        ({"max_tokens": 1.5}, "expected an integer, but got a decimal", "max_tokens", "invalid_type"),
        ({"max_tokens": 20_480}, "max_tokens is too large: 20480", "max_tokens", "invalid_value"),
        (
            {"max_tokens": 5, "max_completion_tokens": 5},
            "at the same time",
            "max_tokens",
            "invalid_parameter_combination",
        ),
        ({"reasoning_effort": "low"}, "Unrecognized request argument supplied: reasoning_effort", None, None),
        ({"verbosity": "low"}, "'verbosity' does not support 'low'", "verbosity", "unsupported_value"),
        ({"top_logprobs": 2}, "only allowed when 'logprobs' is enabled", "top_logprobs", None),
        ({"metadata": {"a": 1}}, "expected a string", "metadata.a", "invalid_type"),
        ({"service_tier": "cheap"}, "Invalid value: 'cheap'", "service_tier", "invalid_value"),
        ({"stream": "yes"}, "expected a boolean", "stream", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled", "stream_options", None),
        (
            {"stream": True, "stream_options": {"usage": True}},
            "Unknown parameter: 'stream_options.usage'",
            "stream_options.usage",
            "unknown_parameter",
        ),
        ({"tools": [{"type": "function"}]}, "does not serve 'tools'", "tools", "standin_unsupported"),
        ({"n": 2}, "'n' must be 1", "n", "standin_unsupported"),
    ],
)
def test_a_mistake_in_the_parameters_is_refused_as_openai_refuses_it(
    changes: dict[str, Any], message: str, param: str | None, code: str | None
):
    refused = refusal(**changes)
    assert message in refused.message
    assert (refused.param, refused.code) == (param, code)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (
            "o3",
            {"max_tokens": 9},
            "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        ),
        ("gpt-5-mini", {"max_tokens": 9}, "Use 'max_completion_tokens' instead."),
        ("gpt-5.1", {"max_tokens": 9}, "Use 'max_completion_tokens' instead."),
        ("o3", {"temperature": 0.2}, "'temperature' does not support 0.2 with this model. Only the default (1) value"),
        ("gpt-5", {"temperature": 0}, "'temperature' does not support 0 with this model."),
        ("gpt-5.1", {"temperature": 0.2, "reasoning_effort": "high"}, "'temperature' does not support 0.2"),
        ("gpt-5", {"top_p": 0.5}, "'top_p' does not support 0.5"),
        ("gpt-5", {"logprobs": True}, "'logprobs' is not supported with this model."),
        ("o3", {"stop": "x"}, "'stop' is not supported with this model."),
        ("o3", {"reasoning_effort": "minimal"}, "Supported values are: 'low', 'medium', and 'high'."),
        ("gpt-5", {"reasoning_effort": "none"}, "Supported values are: 'minimal', 'low', 'medium', and 'high'."),
        ("o3", {"verbosity": "high"}, "'verbosity' does not support 'high'"),
        ("chatgpt-4o-latest", {"response_format": formatted()}, "'json_schema' is not supported with this model"),
        ("gpt-6.1-terra", {"temperature": 0.2}, "'temperature' does not support 0.2"),
        ("gpt-6.1-terra", {"max_tokens": 9}, "Use 'max_completion_tokens' instead."),
        ("gpt-6.1-terra", {"reasoning_effort": "minimal"}, "'none', 'low', 'medium', 'high', 'xhigh', and 'max'."),
        ("gpt-6.2-sol", {"reasoning_effort": "none"}, "'low', 'medium', 'high', 'xhigh', and 'max'."),
    ],
)
def test_a_model_refuses_what_it_does_not_take(model: str, changes: dict[str, Any], message: str):
    assert message in refusal(model=model, **changes).message


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("o3", {"temperature": 1, "max_completion_tokens": 9, "reasoning_effort": "low"}),
        ("gpt-5", {"reasoning_effort": "minimal", "verbosity": "low", "max_completion_tokens": 100_000}),
        ("gpt-5.2", {"temperature": 0.2, "reasoning_effort": "none"}),
        ("gpt-6-luna", {"temperature": 0.2, "reasoning_effort": "none"}),
        ("gpt-6.2-sol", {"reasoning_effort": "max", "verbosity": "low", "max_completion_tokens": 128_000}),
        (
            "gpt-4o",
            {"max_completion_tokens": 9, "temperature": 0, "verbosity": "medium", "logprobs": True, "top_logprobs": 2},
        ),
        ("gpt-4o", {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}),
        ("gpt-4.1", {"max_tokens": None, "temperature": None, "response_format": None}),
    ],
)
def test_a_model_takes_what_it_knows(model: str, changes: dict[str, Any]):
    assert read(model=model, **changes).model.name == model


@pytest.mark.parametrize(
    ("response_format", "message", "param"),
    [
        ({}, "Missing required parameter: 'response_format.type'", "response_format.type"),
        ({"type": "yaml"}, "Invalid value: 'yaml'", "response_format.type"),
        ({"type": "json_object"}, "must contain the word 'json'", "messages"),
        ({"type": "json_schema"}, "Missing required", "response_format.json_schema"),
        (formatted(name=None), "Missing required", "response_format.json_schema.name"),
        (formatted(name="a b"), "does not match pattern", "response_format.json_schema.name"),
        (formatted(name="a\n"), "does not match pattern", "response_format.json_schema.name"),
        (formatted(name="a" * 65), "maximum length 64", "response_format.json_schema.name"),
        (formatted(schema=None), "Missing required", "response_format.json_schema.schema"),
        (formatted(schema=[]), "expected an object", "response_format.json_schema.schema"),
        (formatted(strict=False), "strict schemas only", "response_format.json_schema.strict"),
        (formatted(stricter=True), "Unknown parameter", "response_format.json_schema.stricter"),
        (formatted() | {"schema": {}}, "Unknown parameter", "response_format.schema"),
    ],
)
def test_a_mistake_in_the_response_format_is_refused(response_format: dict[str, Any], message: str, param: str | None):
    refused = refusal(response_format=response_format)
    assert message in refused.message
    assert refused.param == param


def test_a_bad_schema_is_refused_by_name_and_place():
    schema = SCHEMA | {"properties": {"score": {"type": "integer", "default": 0}}}
    refused = refusal(response_format=formatted(schema=schema))
    assert refused.message == (
        "Invalid schema for response_format 'Grade': In context=('properties', 'score'), 'default' is not permitted."
    )
    assert refused.param == "response_format"


def test_prompt_and_reservation_must_fit_the_context():
    assert read(model="gpt-4", max_tokens=8_189, any_model=True).answer_tokens == 8_189
    refused = refusal(model="gpt-4", max_tokens=8_190, any_model=True)
    assert (refused.param, refused.code) == ("messages", "context_length_exceeded")
    assert "you requested 8193 tokens (3 in the messages, 8190 in the completion)" in refused.message


def test_a_prompt_beyond_the_context_is_refused_alone():
    refused = refusal(messages=[{"role": "user", "content": "x" * 4 * 128_001}])
    assert "your messages resulted in 128001 tokens" in refused.message


def test_a_text_above_ten_megabytes_is_refused_before_its_tokens_are_counted():
    refused = refusal(messages=[{"role": "user", "content": "x" * (MAX_TEXT_CHARACTERS + 1)}])
    assert (refused.param, refused.code) == ("messages[0].content", "string_above_max_length")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(body: bytes):
    with pytest.raises(ApiError, match="could not parse the JSON body"):
        read_chat_request(body, any_model=False)
