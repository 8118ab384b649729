"""A request for a background response, read and checked; its answer written as the Responses API writes it.

Parameters, schema and prompt are judged by the rules for chat completions, whose names are turned back into this API's.
*Source*: openai 3.54, types/responses/response_create_params.py, response.py and response_usage.py, November 2026.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.standin.chat_request import read_chat_request
from ops.standin.errors import ApiError, bad_request
from ops.standin.parameters import invalid_type, missing, unsupported_choice

if TYPE_CHECKING:
    from ops.standin.chat_request import ChatRequest

WINDOWS = ("soonest", "2h", "8h")
_LEAST_OUTPUT_TOKENS = 16
_SAME_NAME = (
    *("model", "temperature", "top_p", "service_tier", "prompt_cache_key", "prompt_cache_options"),
    *("metadata", "user", "safety_identifier", "parallel_tool_calls", "tools"),
)
_OWN = ("input", "instructions", "text", "reasoning", "max_output_tokens", "background", "background_options")
_FURTHER = ("store", "stream", "include", "truncation")
_NAMES = {
    "messages": "input",
    "response_format.json_schema": "text.format",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "max_completion_tokens": "max_output_tokens",
}


@dataclass(frozen=True, slots=True)
class BackgroundRequest:
    """One request that OpenAI would take."""

    asked: ChatRequest
    window: str
    metadata: dict[str, str]


def read_background_request(body: bytes, *, any_model: bool, project_tier: str) -> BackgroundRequest:
    """The request in this body; ApiError with OpenAI's refusal when there is none in it."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise bad_request("We could not parse the JSON body of your request.")
    given = {name: value for name, value in request.items() if value is not None}
    unknown = sorted(given.keys() - {*_SAME_NAME, *_OWN, *_FURTHER})
    if unknown:
        raise bad_request(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0], code="unknown_parameter")
    window = _window(given)
    try:
        content = json.dumps(_as_chat(given)).encode()
        asked = read_chat_request(content, any_model=any_model, project_tier=project_tier)
    except ApiError as error:
        raise _renamed(error) from None
    if window != "soonest" and asked.tier != "default":
        message = "The '2h' and '8h' completion windows require Standard processing."
        raise bad_request(message, param="service_tier", code="invalid_parameter_combination")
    return BackgroundRequest(asked, window, given.get("metadata", {}))


def response_json(
    response_id: str, request: BackgroundRequest, *, status: str, created_at: int, answer: dict[str, Any] | None
) -> dict[str, Any]:
    """A response; `answer` is the chat completion that it says, None while there is none."""
    choices = answer["choices"] if answer else []
    finish = choices[0]["finish_reason"] if choices else None
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(str(finish))
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "status": "incomplete" if reason and status == "completed" else status,
        "background": True,
        "background_options": {"completion_window": request.window},
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": request.metadata,
        "model": answer["model"] if answer else request.asked.model.snapshot,
        "output": [_message(choice) for choice in choices],
        "parallel_tool_calls": True,
        "service_tier": request.asked.tier,
        "store": True,
        # not of this API: the mark that a stand-in answered
        "system_fingerprint": answer["system_fingerprint"] if answer else "fp_standin",
        "tool_choice": "auto",
        "tools": [],
        "usage": _usage(answer["usage"]) if answer else None,
    }


def _window(given: dict[str, Any]) -> str:
    options = given.get("background_options", {})
    if not isinstance(options, dict):
        raise invalid_type("background_options", expected="an object", value=options)
    unknown = sorted(options.keys() - {"completion_window", "continuation_id"})
    if unknown:
        name = f"background_options.{unknown[0]}"
        raise bad_request(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    window = options.get("completion_window", "soonest")
    if window not in WINDOWS:
        raise unsupported_choice("background_options.completion_window", value=str(window), choices=WINDOWS)
    if given.get("background") is not True:
        message = "The stand-in serves background responses only: set 'background' to true."
        code = "standin_unsupported" if window == "soonest" else "invalid_parameter_combination"
        raise bad_request(message, param="background", code=code)
    if given.get("store") is False:
        message = "Background mode requires 'store' to be true."
        raise bad_request(message, param="store", code="invalid_parameter_combination")
    if given.get("stream"):
        message = "'stream' is not supported with a completion window."
        raise bad_request(message, param="stream", code="invalid_parameter_combination")
    return str(window)


def _as_chat(given: dict[str, Any]) -> dict[str, Any]:
    chat = {name: given[name] for name in _SAME_NAME if name in given}
    chat["messages"] = _messages(given)
    text = _object(given, "text")
    if "format" in text:
        chat["response_format"] = _response_format(text["format"])
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    if (effort := _object(given, "reasoning").get("effort")) is not None:
        chat["reasoning_effort"] = effort
    tokens = given.get("max_output_tokens")
    if tokens is not None:
        if isinstance(tokens, int) and tokens < _LEAST_OUTPUT_TOKENS:
            message = (
                "Invalid 'max_output_tokens': integer below minimum value. "
                f"Expected a value >= {_LEAST_OUTPUT_TOKENS}, but got {tokens} instead."
            )
            raise bad_request(message, param="max_output_tokens", code="integer_below_min_value")
        chat["max_completion_tokens"] = tokens
    return chat


def _object(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name, {})
    if not isinstance(value, dict):
        raise invalid_type(name, expected="an object", value=value)
    return value


def _messages(given: dict[str, Any]) -> list[Any]:
    asked = given.get("input")
    if asked is None:
        raise missing("input")
    messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    if not isinstance(messages, list):
        raise invalid_type("input", expected="one of a string or array of objects", value=asked)
    first = [{"role": "developer", "content": given["instructions"]}] if given.get("instructions") else []
    return [*first, *(_message_as_chat(each) for each in messages)]


def _message_as_chat(message: Any) -> Any:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    return {**message, "content": [_part_as_chat(part) for part in message["content"]]}


def _part_as_chat(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in {"input_text", "output_text"}:
        return {**part, "type": "text"}
    if kind == "input_image":
        rest = {name: value for name, value in part.items() if name not in {"image_url", "detail"}}
        return {**rest, "type": "image_url", "image_url": {"url": part.get("image_url"), "detail": part.get("detail")}}
    return part


def _response_format(asked: Any) -> Any:
    if not isinstance(asked, dict) or asked.get("type") != "json_schema":
        return asked
    return {"type": "json_schema", "json_schema": {name: value for name, value in asked.items() if name != "type"}}


def _renamed(error: ApiError) -> ApiError:
    """The refusal in this API's words."""
    pattern = "|".join(re.escape(name) for name in _NAMES)
    for name in ("message", "param"):
        said = getattr(error, name)
        if said is not None:
            setattr(error, name, re.sub(rf"\b({pattern})\b", lambda match: _NAMES[match[1]], said))
    return error


def _message(choice: dict[str, Any]) -> dict[str, Any]:
    said = choice["message"]
    parts: list[dict[str, Any]] = []
    if said["content"] is not None:
        parts.append({"type": "output_text", "text": said["content"], "annotations": [], "logprobs": []})
    if said["refusal"] is not None:
        parts.append({"type": "refusal", "refusal": said["refusal"]})
    return {"id": "msg_standin", "type": "message", "role": "assistant", "status": "completed", "content": parts}


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    of_prompt, of_answer = usage["prompt_tokens_details"], usage["completion_tokens_details"]
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {
            "cached_tokens": of_prompt.get("cached_tokens"),
            "cache_write_tokens": of_prompt.get("cache_write_tokens"),
        },
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": of_answer.get("reasoning_tokens")},
        "total_tokens": usage["total_tokens"],
    }
