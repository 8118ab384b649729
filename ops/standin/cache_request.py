"""What a request asks of the prompt cache: key, options and breakpoints, refused where OpenAI refuses them.

*Source*: openai 3.54, completion_create_params.py and chat_completion_content_part_text_param.py, November 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.standin.errors import bad_request
from ops.standin.parameters import invalid_type, unsupported_choice
from ops.standin.prompt_cache import LIFETIMES_SECONDS, automatic_plan, breakpoint_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ops.standin.models import Model
    from ops.standin.prompt_cache import CachePlan

_OPTIONS = "prompt_cache_options"
_BREAKPOINT = "prompt_cache_breakpoint"
_MODES = ("implicit", "explicit")


def cache_plan(request: Mapping[str, Any], model: Model, conversation: str) -> CachePlan:
    """The request's place in the cache; ApiError 400 for options or breakpoints that the model does not take."""
    options = request.get(_OPTIONS) or {}
    texts, marked = _texts_and_marks(request["messages"])
    if not model.takes_breakpoints:
        if options or marked:
            name = _OPTIONS if options else _BREAKPOINT
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            raise bad_request(message, param=name, code="unsupported_parameter")
        return automatic_plan(conversation, key=request.get("prompt_cache_key") or "")
    _check_options(options)
    request_ttl = options.get("ttl", "30m")
    return breakpoint_plan(
        texts,
        [(index, ttl or request_ttl) for index, ttl in marked],
        key=request.get("prompt_cache_key") or "",
        is_implicit=options.get("mode", "implicit") == "implicit",
        request_ttl=request_ttl,
    )


def _check_options(options: Mapping[str, Any]) -> None:
    unknown = options.keys() - {"mode", "ttl"}
    if unknown:
        name = f"{_OPTIONS}.{min(unknown)}"
        raise bad_request(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    if (mode := options.get("mode", "implicit")) not in _MODES:
        raise unsupported_choice(f"{_OPTIONS}.mode", value=str(mode), choices=_MODES)
    if (ttl := options.get("ttl", "30m")) != "30m":
        raise unsupported_choice(f"{_OPTIONS}.ttl", value=str(ttl), choices=("30m",))


def _texts_and_marks(messages: list[Any]) -> tuple[list[tuple[str, str]], list[tuple[int, str | None]]]:
    """Every text with its role, and the indexes after which a prefix ends, with the ttl that they name."""
    texts: list[tuple[str, str]] = []
    marked: list[tuple[int, str | None]] = []
    for number, message in enumerate(messages):
        for text, mark in _parts(message.get("content"), place=f"messages[{number}].content"):
            texts.append((message["role"], text))
            if mark is not None:
                marked.append((len(texts) - 1, mark.get("ttl")))
    return texts, marked


def _parts(content: Any, *, place: str) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    if not isinstance(content, list):
        yield content or "", None
        return
    for number, part in enumerate(content):
        mark = part.get(_BREAKPOINT)
        if mark is not None:
            _check_mark(mark, f"{place}[{number}].{_BREAKPOINT}")
        text = part[part["type"]]
        yield (text["url"] if isinstance(text, dict) else text), mark  # a picture is cached by its bytes


def _check_mark(mark: Any, name: str) -> None:
    if not isinstance(mark, dict):
        raise invalid_type(name, expected="an object", value=mark)
    if mark.get("mode") != "explicit":
        raise unsupported_choice(f"{name}.mode", value=str(mark.get("mode")), choices=("explicit",))
    if mark.get("ttl", "30m") not in LIFETIMES_SECONDS:
        raise unsupported_choice(f"{name}.ttl", value=str(mark["ttl"]), choices=tuple(LIFETIMES_SECONDS))
