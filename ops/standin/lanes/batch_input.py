"""The input file of a batch, read as OpenAI validates it: what is wrong with the file fails the whole batch.

What is wrong with one request's body is found when that line runs, and becomes a line of the error file.
*Source*: codes as listed in stdapi.ai issue 240 and openai-python issue 2084, from OpenAI's own answers (2025-2026).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ops.standin.errors import ApiError
from ops.standin.models import find_model
from ops.standin.tokens import estimate_tokens

MAX_LINES = 50_000
_MOST_ERRORS = 100


@dataclass(frozen=True, slots=True)
class InputError:
    """One entry of a failed batch's `errors`."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {"code": self.code, "message": self.message, "line": self.line, "param": self.param}


@dataclass(frozen=True, slots=True)
class InputLine:
    """One request of a batch."""

    custom_id: str
    body: bytes = field(repr=False)
    prompt_tokens: int
    """Estimated; for the queue."""


@dataclass(frozen=True, slots=True)
class BatchInput:
    """A whole file: its requests, or what is wrong with it."""

    lines: tuple[InputLine, ...]
    errors: tuple[InputError, ...]
    model: str | None
    limit_name: str | None
    """The name under which the model's snapshots share a queue."""

    @property
    def prompt_tokens(self) -> int:
        """What the file takes from the queue of enqueued tokens."""
        return sum(line.prompt_tokens for line in self.lines)


class _Refused(Exception):  # noqa: N818 - travels inside this module only
    def __init__(self, error: InputError) -> None:
        super().__init__(error.code)
        self.error = error


def read_batch_input(content: bytes, *, endpoint: str, any_model: bool) -> BatchInput:
    """Read every line; the first hundred errors are kept."""
    texts = [(number, text) for number, text in enumerate(content.split(b"\n"), 1) if text.strip()]
    if not texts:
        message = "The input file is empty. Please ensure that the batch contains at least one request."
        return BatchInput((), (InputError("empty_file", message),), None, None)
    if len(texts) > MAX_LINES:
        message = f"The batch input file contains too many tasks. The maximum number of tasks per batch is {MAX_LINES}."
        return BatchInput((), (InputError("too_many_tasks", message),), None, None)
    lines: list[InputLine] = []
    errors: list[InputError] = []
    seen: set[str] = set()
    model: str | None = None
    for number, text in texts:
        try:
            request = _request(text, number, endpoint=endpoint)
            model = _only_model(request["body"], model, number)
            lines.append(_line(request, seen, number))
        except _Refused as refused:
            errors.append(refused.error)
            if len(errors) == _MOST_ERRORS:
                break
    limit_name = None
    if model is not None:
        try:
            limit_name = find_model(model, any_model=any_model).limit_name
        except ApiError as error:
            errors.append(InputError("model_not_found", error.message, line=1, param="body.model"))
    return BatchInput(tuple(lines), tuple(errors), model, limit_name)


def _request(text: bytes, number: int, *, endpoint: str) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise _Refused(InputError("invalid_json_line", "This line is not parseable as valid JSON.", number))
    for name, kind in (("custom_id", str), ("method", str), ("url", str), ("body", dict)):
        if not isinstance(request.get(name), kind) or not request[name]:
            message = f"Missing required parameter: '{name}'."
            raise _Refused(InputError("missing_required_parameter", message, number, name))
    if request["method"] != "POST":
        message = f"Invalid method '{request['method']}': only POST is supported."
        raise _Refused(InputError("invalid_method", message, number, "method"))
    if request["url"] != endpoint:
        message = f"The url '{request['url']}' does not match the batch's endpoint '{endpoint}'."
        raise _Refused(InputError("url_mismatch", message, number, "url"))
    return request


def _only_model(body: dict[str, Any], model: str | None, number: int) -> str:
    asked = body.get("model")
    if not isinstance(asked, str) or not asked:
        message = "Missing required parameter: 'body.model'."
        raise _Refused(InputError("missing_required_parameter", message, number, "body.model"))
    if model is not None and asked != model:
        message = f"Requests in a batch must all use the same model; this one asks for '{asked}' instead of '{model}'."
        raise _Refused(InputError("model_mismatch", message, number, "body.model"))
    return asked


def _line(request: dict[str, Any], seen: set[str], number: int) -> InputLine:
    custom_id = request["custom_id"]
    if custom_id in seen:
        message = f"The custom_id '{custom_id}' is used more than once; it must be unique in a file."
        raise _Refused(InputError("duplicate_custom_id", message, number, "custom_id"))
    seen.add(custom_id)
    body = request["body"]
    tokens = estimate_tokens(_characters(body.get("messages")))
    return InputLine(custom_id, json.dumps(body).encode(), tokens)


def _characters(value: Any) -> int:
    """Of every text in the messages; a picture's address counts for little here."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_characters, value))
    if isinstance(value, dict):
        return sum(_characters(each) for name, each in value.items() if name in {"content", "text"})
    return 0
