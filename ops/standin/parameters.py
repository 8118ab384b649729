"""Types and ranges of the request's parameters, refused in OpenAI's words.

A null means "not given", as it does there. *Source*: the API's public OpenAPI document and the parameter names of
its Python SDK 3.54, November 2026.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ops.standin.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def check_parameters(request: Mapping[str, Any]) -> None:
    """Return when every parameter is known and has a possible value; ApiError 400 for the first that has not."""
    unknown = [name for name in request if name not in PARAMETERS]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise bad_request(f"Unrecognized request argument{plural} supplied: {', '.join(sorted(unknown))}")
    for name, value in request.items():
        if value is not None:
            PARAMETERS[name](name, value)
    if request.get("stream_options") is not None and not request.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise bad_request(message, param="stream_options")


def invalid_type(name: str, *, expected: str, value: Any) -> ApiError:
    """A value of the wrong JSON type."""
    message = f"Invalid type for '{name}': expected {expected}, but got {json_type_of(value)} instead."
    return bad_request(message, param=name, code="invalid_type")


def missing(name: str) -> ApiError:
    """A required parameter that is absent."""
    return bad_request(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def string_too_long(name: str, *, longest: int, length: int) -> ApiError:
    """A string above its maximum length."""
    message = (
        f"Invalid '{name}': string too long. Expected a string with maximum length {longest}, "
        f"but got a string with length {length} instead."
    )
    return bad_request(message, param=name, code="string_above_max_length")


def unsupported_choice(name: str, *, value: str, choices: tuple[str, ...]) -> ApiError:
    """A string that is none of the values listed."""
    message = f"Invalid value: '{value}'. Supported values are: {quoted_list(choices)}."
    return bad_request(message, param=name, code="invalid_value")


def quoted_list(choices: tuple[str, ...]) -> str:
    """The choices in quotes, as error messages list them."""
    listed = ", ".join(f"'{choice}'" for choice in choices[:-1])
    return f"{listed}, and '{choices[-1]}'" if listed else f"'{choices[0]}'"


def json_type_of(value: Any) -> str:
    """The JSON type of a value with its article, as error messages name it."""
    if isinstance(value, bool):
        return "a boolean"
    names = {int: "an integer", float: "a decimal", str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "null")


def _decimal(low: float, high: float) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid_type(name, expected="a decimal", value=value)
        _check_range(name, value, low=low, high=high, what="decimal")

    return check


def _integer(low: float = -math.inf, high: float = math.inf) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid_type(name, expected="an integer", value=value)
        _check_range(name, value, low=low, high=high, what="integer")

    return check


def _check_range(name: str, value: float, *, low: float, high: float, what: str) -> None:
    if value < low:
        message = f"Invalid '{name}': {what} below minimum value. Expected a value >= {low:g}, but got {value} instead."
        raise bad_request(message, param=name, code=f"{what}_below_min_value")
    # Written this way round so that NaN, which Python's JSON reads, is refused as well.
    if not value <= high:
        message = (
            f"Invalid '{name}': {what} above maximum value. Expected a value <= {high:g}, but got {value} instead."
        )
        raise bad_request(message, param=name, code=f"{what}_above_max_value")


def _choice(*choices: str) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        _string(name, value)
        if value not in choices:
            raise unsupported_choice(name, value=value, choices=choices)

    return check


def _of_type(kind: type, expected: str) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, kind):
            raise invalid_type(name, expected=expected, value=value)

    return check


_string = _of_type(str, "a string")
_boolean = _of_type(bool, "a boolean")
_array = _of_type(list, "an array")
_object = _of_type(dict, "an object")


def _stop(name: str, value: Any) -> None:
    if not isinstance(value, str | list):
        raise invalid_type(name, expected="one of an array of strings or string", value=value)


def _metadata(name: str, value: Any) -> None:
    _object(name, value)
    for key, text in value.items():
        if not isinstance(text, str):
            raise invalid_type(f"{name}.{key}", expected="a string", value=text)


def _stream_options(name: str, value: Any) -> None:
    _object(name, value)
    for key, switch in value.items():
        if key not in {"include_usage", "include_obfuscation"}:
            raise bad_request(f"Unknown parameter: '{name}.{key}'.", param=f"{name}.{key}", code="unknown_parameter")
        _boolean(f"{name}.{key}", switch)


def _unserved(name: str, value: Any) -> None:
    # An honest refusal: silence about a tool would look like an answer without one.
    if value not in (False, []):
        raise bad_request(f"The stand-in does not serve '{name}'.", param=name, code="standin_unsupported")


def _single(name: str, value: Any) -> None:
    _integer(1, 128)(name, value)
    if value != 1:
        raise bad_request("The stand-in gives one choice: 'n' must be 1.", param=name, code="standin_unsupported")


PARAMETERS: Mapping[str, Callable[[str, Any], None]] = {
    "model": _string,
    "messages": _array,
    "response_format": _object,
    "temperature": _decimal(0, 2),
    "top_p": _decimal(0, 1),
    "presence_penalty": _decimal(-2, 2),
    "frequency_penalty": _decimal(-2, 2),
    "max_tokens": _integer(1),
    "max_completion_tokens": _integer(1),
    "seed": _integer(),
    "n": _single,
    "stop": _stop,
    "logprobs": _boolean,
    "top_logprobs": _integer(0, 20),
    "logit_bias": _object,
    "user": _string,
    "safety_identifier": _string,
    "metadata": _metadata,
    "store": _boolean,
    "service_tier": _choice("auto", "default", "flex", "scale", "priority", "fast"),
    "reasoning_effort": _choice("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "verbosity": _choice("low", "medium", "high"),
    "prompt_cache_key": _string,
    "prompt_cache_retention": _choice("in_memory", "in-memory", "24h"),
    "prompt_cache_options": _object,
    "parallel_tool_calls": _boolean,
    "stream": _boolean,
    "stream_options": _stream_options,
    "tools": _unserved,
    "tool_choice": _unserved,
    "functions": _unserved,
    "function_call": _unserved,
    "audio": _unserved,
    "modalities": lambda name, value: _array(name, value) if value == ["text"] else _unserved(name, value),
    "moderation": _unserved,
    "prediction": _unserved,
    "web_search_options": _unserved,
}
