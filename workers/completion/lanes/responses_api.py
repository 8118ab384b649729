"""Between a chat completion and the Responses API, both ways. Pure.

*Source*: openai 3.54, types/responses/response_create_params.py and response.py; OpenAI, "Migrate to the Responses
API".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.completion.transport.chat_completion import Completion, completion_of

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_OUTPUT_TOKENS = 16
"""The API refuses less. *Source*: OpenAI, API reference: "Expected a value >= 16"; chat completions take any."""
_SAME_NAME = frozenset({"model", "temperature", "service_tier", "prompt_cache_key", "prompt_cache_options"})
_TOKEN_LIMITS = frozenset({"max_tokens", "max_completion_tokens"})
_FINISH_OF_REASON = {"max_output_tokens": "length", "content_filter": "content_filter"}


def responses_body(chat: Mapping[str, Any]) -> dict[str, Any]:
    """Say the same as a chat completion's body. KeyError for a parameter that has no counterpart here."""
    body: dict[str, Any] = {}
    text: dict[str, Any] = {}
    for name, value in chat.items():
        if name in _SAME_NAME:
            body[name] = value
        elif name in _TOKEN_LIMITS:
            body["max_output_tokens"] = max(value, LEAST_OUTPUT_TOKENS)
        elif name == "messages":
            body["input"] = [_input_message(message) for message in value]
        elif name == "response_format":
            text["format"] = {"type": value["type"], **value["json_schema"]}
        elif name == "verbosity":
            text["verbosity"] = value
        elif name == "reasoning_effort":
            body["reasoning"] = {"effort": value}
        else:
            raise KeyError(name)
    return body | {"text": text}


def completion_of_response(response: Mapping[str, Any]) -> Completion:
    """Say the same as a chat completion; members that are not there stay absent."""
    said: dict[str, list[str]] = {}
    for part in _parts(response):
        for kind, name in (("output_text", "text"), ("refusal", "refusal")):
            if part.get("type") == kind and isinstance(part.get(name), str):
                said.setdefault(name, []).append(part[name])
    message = {name: "".join(said[key]) for name, key in (("content", "text"), ("refusal", "refusal")) if key in said}
    choice = {"message": message, "finish_reason": _finish_reason(response)}
    names = ("model", "service_tier", "system_fingerprint")
    whole = {name: response[name] for name in names if name in response}
    return completion_of({"choices": [choice], "usage": _usage(response.get("usage")), **whole})


def _input_message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, list):
        content = [_input_part(part) for part in content]
    return {"role": message["role"], "content": content}


def _input_part(part: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in part.items() if name not in {"type", "image_url"}}
    if part["type"] == "text":
        return {"type": "input_text", **rest}
    picture = part["image_url"]
    return {"type": "input_image", "image_url": picture["url"], "detail": picture["detail"], **rest}


def _parts(response: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The content of every message; reasoning and other items hold no answer."""
    output = response.get("output")
    items = [each for each in output if isinstance(each, dict)] if isinstance(output, list) else []
    contents = [item.get("content") for item in items if item.get("type") == "message"]
    return [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]


def _finish_reason(response: Mapping[str, Any]) -> str | None:
    if response.get("status") == "completed":
        return "stop"
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return _FINISH_OF_REASON.get(str(reason), None if reason is None else str(reason))


def _usage(usage: object) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    return {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens_details": usage.get("output_tokens_details"),
    }
