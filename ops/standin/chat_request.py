"""A chat completion request, read and checked: what OpenAI refuses never becomes a ChatRequest.

The order is OpenAI's: body, parameter types, model, messages, what this model takes, response format, context size.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ops.standin import errors
from ops.standin.answers import Plan, plan_answers
from ops.standin.cache_request import cache_plan
from ops.standin.errors import bad_request
from ops.standin.models import Model, find_model
from ops.standin.parameters import (
    check_parameters,
    invalid_type,
    missing,
    quoted_list,
    string_too_long,
    unsupported_choice,
)
from ops.standin.pictures import picture_part_tokens
from ops.standin.schema_rules import SchemaRefusal, check_schema
from ops.standin.tokens import estimate_tokens

if TYPE_CHECKING:
    from ops.standin.draw import Draw
    from ops.standin.prompt_cache import CachePlan

MAX_TEXT_CHARACTERS = 10_485_760
_NAME_CHARACTERS = 64
_TIERS = {"default": "default", "flex": "flex", "priority": "priority", "fast": "priority"}
"""Asked -> billed and reported back; what is not here (auto, or none) is the project's own default.
*Source*: openai 3.54, `service_tier`: fast is reported as priority."""
_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
# Reasoning models take these only at their default values.
_SAMPLING_DEFAULTS = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
_SAMPLING_SWITCHES = ("logprobs", "top_logprobs", "logit_bias")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request that OpenAI would take."""

    model: Model
    prompt: str
    """The first user message: what counts and markers are keyed by. A repair keeps its job's prompt."""
    conversation: str
    """All messages: what the answer depends on."""
    prompt_tokens: int
    answer_tokens: int | None
    """max_tokens or max_completion_tokens; None when neither was given."""
    effort: str | None
    seed: int
    plan: Plan | None
    """How to answer in JSON; None for plain text."""
    cache: CachePlan
    """What of it may come from the prompt cache, or go into it."""
    tier: str
    """The service tier that answers and is billed."""
    is_streamed: bool = False
    """The answer is wanted as server-sent events."""
    streams_usage: bool = False
    """The last of them reports the usage."""

    @property
    def prompt_key(self) -> str:
        """The prompt's SHA-256, which statistics show instead of the prompt."""
        return hashlib.sha256(self.prompt.encode("utf-8", "surrogatepass")).hexdigest()

    def cost_tokens(self, charge: str) -> int:
        """What the rate limiter charges. *Source*: OpenAI's rate limit guide: the larger of the two."""
        reserved = self.answer_tokens or 0
        return reserved + self.prompt_tokens if charge == "sum" else max(reserved, self.prompt_tokens)


def read_chat_request(body: bytes, *, any_model: bool, project_tier: str = "default") -> ChatRequest:
    """The request in this body; ApiError with OpenAI's refusal when there is none in it.

    `project_tier` serves those that ask for no tier.
    """
    request = _parsed(body)
    if not request.get("model"):
        raise bad_request("you must provide a model parameter")
    check_parameters(request)
    model = find_model(request["model"], any_model=any_model)
    texts, picture_tokens = _message_texts(request, model)
    _check_model_parameters(request, model)
    answer_tokens = _answer_tokens(request, model)
    conversation = "\n".join(text for _, text in texts)
    cache = cache_plan(request, model, conversation)
    prompt_tokens = estimate_tokens(len(conversation)) + picture_tokens
    _check_context(model, prompt_tokens=prompt_tokens, answer_tokens=answer_tokens or 0)
    return ChatRequest(
        model=model,
        prompt=next((text for role, text in texts if role == "user"), conversation),
        conversation=conversation,
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        effort=request.get("reasoning_effort") or model.effort_by_default,
        seed=request.get("seed") or 0,
        plan=_answer_plan(request.get("response_format"), model, conversation),
        cache=cache,
        tier=_TIERS.get(request.get("service_tier") or "auto", project_tier),
        is_streamed=bool(request.get("stream")),
        streams_usage=bool((request.get("stream_options") or {}).get("include_usage")),
    )


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise bad_request(
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
            "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
        )
    return request


def _message_texts(request: dict[str, Any], model: Model) -> tuple[list[tuple[str, str]], int]:
    """(role, text) of each message, and what all pictures count."""
    messages = request.get("messages")
    if messages is None:
        raise missing("messages")
    if not messages:
        message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array."
        raise bad_request(message, param="messages", code="empty_array")
    pictures: list[int] = []
    texts = [_message_text(each, model, pictures, name=f"messages[{at}]") for at, each in enumerate(messages)]
    return texts, sum(pictures)


def _message_text(message: Any, model: Model, pictures: list[int], *, name: str) -> tuple[str, str]:
    if not isinstance(message, dict):
        raise invalid_type(name, expected="an object", value=message)
    role = message.get("role")
    if role is None:
        raise missing(f"{name}.role")
    if role not in _ROLES:
        raise unsupported_choice(f"{name}.role", value=str(role), choices=_ROLES)
    content = message.get("content")
    if isinstance(content, list):
        content = [
            _without_picture(part, role, model, pictures, name=f"{name}.content[{at}]")
            for at, part in enumerate(content)
        ]
    return role, _content_text(content, name=f"{name}.content", may_be_absent=role == "assistant")


def _without_picture(part: Any, role: str, model: Model, pictures: list[int], *, name: str) -> Any:
    """A text part in place of a picture, whose tokens are added to `pictures`; any other part as it is."""
    if not isinstance(part, dict) or part.get("type") != "image_url":
        return part
    pictures.append(picture_part_tokens(part, role=role, model=model, name=name))
    digest = hashlib.sha256(str(part["image_url"]["url"]).encode()).hexdigest()[:16]
    return {"type": "text", "text": f"[picture {digest}]"}


def _content_text(content: Any, *, name: str, may_be_absent: bool) -> str:
    if isinstance(content, str):
        if len(content) > MAX_TEXT_CHARACTERS:
            raise string_too_long(name, longest=MAX_TEXT_CHARACTERS, length=len(content))
        return content
    if isinstance(content, list) and content:
        return "\n".join(_part_text(part, name=f"{name}[{number}]") for number, part in enumerate(content))
    if content is None and may_be_absent:
        return ""
    if content is None:
        message = f"Invalid value for '{name.rpartition('.')[2]}': expected a string, got null."
        raise bad_request(message, param=name)
    raise invalid_type(name, expected="one of a string or array of objects", value=content)


def _part_text(part: Any, *, name: str) -> str:
    if not isinstance(part, dict):
        raise invalid_type(name, expected="an object", value=part)
    if part.get("type") not in ("text", "refusal"):
        raise unsupported_choice(f"{name}.type", value=str(part.get("type")), choices=("text", "refusal"))
    return _content_text(part.get(part["type"]), name=f"{name}.{part['type']}", may_be_absent=False)


def _check_model_parameters(request: dict[str, Any], model: Model) -> None:
    given = {name for name, value in request.items() if value is not None}
    if "reasoning_effort" in given:
        _check_effort(request["reasoning_effort"], model)
    if not model.takes_verbosity and request.get("verbosity") not in (None, "medium"):
        raise _unsupported_value("verbosity", request["verbosity"], "Supported values are: 'medium'.")
    if model.reasons and "max_tokens" in given:
        raise _unsupported_parameter("max_tokens", " Use 'max_completion_tokens' instead.")
    if {"max_tokens", "max_completion_tokens"} <= given:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise bad_request(message, param="max_tokens", code="invalid_parameter_combination")
    if "top_logprobs" in given and not request.get("logprobs"):
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise bad_request(message, param="top_logprobs")
    if not model.takes_sampling(request.get("reasoning_effort")):
        _check_no_sampling(request, given)
    if model.reasons and "stop" in given:
        raise _unsupported_parameter("stop")


def _check_effort(effort: str, model: Model) -> None:
    if not model.efforts:
        raise bad_request("Unrecognized request argument supplied: reasoning_effort")
    if effort not in model.efforts:
        raise _unsupported_value("reasoning_effort", effort, f"Supported values are: {quoted_list(model.efforts)}.")


def _check_no_sampling(request: dict[str, Any], given: set[str]) -> None:
    for name, default in _SAMPLING_DEFAULTS.items():
        if name in given and request[name] != default:
            reason = f"Only the default ({default}) value is supported."
            raise _unsupported_value(name, request[name], reason)
    for name in _SAMPLING_SWITCHES:
        if request.get(name):
            raise _unsupported_parameter(name)


def _unsupported_value(name: str, value: Any, reason: str) -> errors.ApiError:
    shown = f"'{value}'" if isinstance(value, str) else value
    message = f"Unsupported value: '{name}' does not support {shown} with this model. {reason}"
    return bad_request(message, param=name, code="unsupported_value")


def _unsupported_parameter(name: str, advice: str = "") -> errors.ApiError:
    message = f"Unsupported parameter: '{name}' is not supported with this model.{advice}"
    return bad_request(message, param=name, code="unsupported_parameter")


def _answer_tokens(request: dict[str, Any], model: Model) -> int | None:
    for name in ("max_tokens", "max_completion_tokens"):
        tokens: int | None = request.get(name)
        if tokens is None:
            continue
        if tokens > model.answer_tokens:
            message = (
                f"{name} is too large: {tokens}. This model supports at most {model.answer_tokens} completion tokens, "
                f"whereas you provided {tokens}."
            )
            raise bad_request(message, param=name, code="invalid_value")
        return tokens
    return None


def _check_context(model: Model, *, prompt_tokens: int, answer_tokens: int) -> None:
    if prompt_tokens + answer_tokens > model.context_tokens:
        raise errors.context_too_long(model.context_tokens, prompt_tokens=prompt_tokens, answer_tokens=answer_tokens)


def _answer_plan(response_format: dict[str, Any] | None, model: Model, conversation: str) -> Plan | None:
    kind = "text" if response_format is None else response_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return _any_object_plan(conversation)
    if response_format is None or kind != "json_schema":
        name, choices = "response_format.type", ("json_object", "json_schema", "text")
        raise missing(name) if kind is None else unsupported_choice(name, value=str(kind), choices=choices)
    if not model.takes_json_schema:
        message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
        raise bad_request(message)
    # The text is the key: the same schema is checked and planned once.
    return _schema_plan(json.dumps(response_format))


def _any_object_plan(conversation: str) -> Plan:
    if "json" not in conversation.lower():
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
        raise bad_request(message, param="messages")
    return _any_object


def _any_object(_draw: Draw) -> dict[str, str]:
    return {"note": "A stand-in's answer."}


@lru_cache(maxsize=512)
def _schema_plan(response_format_text: str) -> Plan:
    response_format = json.loads(response_format_text)
    path = "response_format.json_schema"
    unknown = response_format.keys() - {"type", "json_schema"}
    if unknown:
        name = f"response_format.{min(unknown)}"
        raise bad_request(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    asked = response_format.get("json_schema")
    if asked is None:
        raise missing(path)
    if not isinstance(asked, dict):
        raise invalid_type(path, expected="an object", value=asked)
    _check_format_fields(asked, path)
    try:
        check_schema(asked["schema"])
        return plan_answers(asked["schema"])
    except SchemaRefusal as refusal:
        message = f"Invalid schema for response_format '{asked['name']}': {refusal}"
        raise bad_request(message, param="response_format") from None


def _check_format_fields(asked: dict[str, Any], path: str) -> None:
    unknown = asked.keys() - {"name", "schema", "strict", "description"}
    if unknown:
        name = f"{path}.{min(unknown)}"
        raise bad_request(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    for field in ("name", "schema"):
        if asked.get(field) is None:
            raise missing(f"{path}.{field}")
    _check_format_name(asked["name"], f"{path}.name")
    if not isinstance(asked["schema"], dict):
        raise invalid_type(f"{path}.schema", expected="an object", value=asked["schema"])
    if asked.get("description") is not None and not isinstance(asked["description"], str):
        raise invalid_type(f"{path}.description", expected="a string", value=asked["description"])
    if asked.get("strict") is not True:
        # OpenAI would answer without a guarantee; who asks for that here has made a mistake.
        message = f"The stand-in answers strict schemas only: set '{path}.strict' to true."
        raise bad_request(message, param=f"{path}.strict", code="standin_unsupported")


def _check_format_name(name: Any, path: str) -> None:
    if not isinstance(name, str):
        raise invalid_type(path, expected="a string", value=name)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        pattern = "^[a-zA-Z0-9_-]+$"
        message = (
            f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern '{pattern}'."
        )
        raise bad_request(message, param=path, code="invalid_value")
    if len(name) > _NAME_CHARACTERS:
        raise string_too_long(path, longest=_NAME_CHARACTERS, length=len(name))
