"""A completion that came as server-sent events, put together again: what a whole body would have said.

Read when the stream is over: what is wanted of a stream are the headers, which come before it.
*Source*: HTML standard, "Server-sent events" (lines, fields, UTF-8), and openai 3.54, `ChatCompletionChunk`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from workers.completion.transport.chat_completion import Completion, completion_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STREAM_PARAMETERS: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
"""Without the option no event reports the usage."""
_LINE_END = re.compile(r"\r\n|\n|\r")
"""Not `splitlines`: an answer may hold other characters that Python takes for the end of a line."""
_OF_THE_WHOLE = ("model", "service_tier", "system_fingerprint", "usage")


class BrokenOffError(ConnectionError):
    """The events ended before the answer did."""


def completion_of_events(text: str) -> Completion | str:
    """Put the answer together; an error among the events is the completion's `error`.

    Text without events is returned as it is: it is for others to say what it may be. Raises ValueError where an event
    is not what this API sends, `BrokenOffError` where the stream ends before the answer.
    """
    chunks = [_chunk(data) for data in _data_of(text)]
    if not chunks:
        return text
    whole: dict[str, Any] = {"choices": []}
    pieces: dict[str, list[str]] = {}
    has_ended = False
    choice: dict[str, Any] = {}
    for chunk in chunks:
        if chunk.get("error") is not None:
            return completion_of({"error": chunk["error"]})
        whole |= {name: chunk[name] for name in _OF_THE_WHOLE if chunk.get(name) is not None}
        for part in _first_choice(chunk):
            choice |= {name: value for name, value in part.items() if name != "delta" and value is not None}
            _collect(part.get("delta"), pieces)
            has_ended = has_ended or part.get("finish_reason") is not None
    if pieces or choice:
        if not has_ended:
            raise BrokenOffError
        whole["choices"] = [{**choice, "message": {name: "".join(said) for name, said in pieces.items()}}]
    return completion_of(whole)


def _data_of(text: str) -> Iterator[str]:
    """The data of each event up to the one that ends the stream; comments and other fields are passed over."""
    data: list[str] = []
    for line in [*_LINE_END.split(text.removeprefix("\ufeff")), ""]:
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            event, data = "\n".join(data), []
            if event.strip() == "[DONE]":
                return
            yield event


def _chunk(data: str) -> Mapping[str, Any]:
    chunk = json.loads(data)
    if not isinstance(chunk, dict):
        raise ValueError("an event that is no object")  # noqa: TRY004 - what is wrong is the peer's text
    return chunk


def _first_choice(chunk: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One was asked for; events about the whole, such as the usage, have none."""
    choices = chunk.get("choices")
    found = choices if isinstance(choices, list) else []
    return [each for each in found if isinstance(each, dict) and each.get("index", 0) == 0]


def _collect(delta: object, pieces: dict[str, list[str]]) -> None:
    for name in ("content", "refusal"):
        said = delta.get(name) if isinstance(delta, dict) else None
        if isinstance(said, str):
            pieces.setdefault(name, []).append(said)
