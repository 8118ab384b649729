"""JSON text in lines of results, without parsing it: a value that nobody looks at is copied as the store has it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Pieces = TypeVar("Pieces")


def as_stored(text: str | None) -> str:
    """A JSON value for a line of its own file; letters beyond ASCII, which some columns hold as escapes, are readable.

    The store's own text has no line ends.
    """
    if text is None:
        return "null"
    # one letter is found five times as fast as two
    if ("\\" in text and "\\u" in text) or "\n" in text or "\r" in text:
        return json.dumps(json.loads(text), ensure_ascii=False)
    return text


def quoted(text: str | None) -> str:
    """A text or nothing as a JSON value."""
    return "null" if text is None else encode_basestring(text)


MOST_REPEATED = 10_000


class Repeated(dict[Any, Pieces]):
    """Pieces of lines that come again in many of them, by the values that they are made of."""

    def __init__(self, make: Callable[[Any], Pieces]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, values: Any) -> Pieces:
        if len(self) >= MOST_REPEATED:
            self.clear()
        made = self[values] = self._make(values)
        return made


_SECONDS = [f":{number:02d}." for number in range(60)]
_MILLISECONDS = [f'{number:03d}+00:00"' for number in range(1000)]


class Moments(Repeated[str]):
    """Times in UTC with milliseconds, as `datetime.isoformat` writes them, at a third of its cost."""

    def __init__(self) -> None:
        super().__init__(lambda minute: '"' + datetime.fromtimestamp(minute * 60, UTC).isoformat()[:16])

    def text(self, seconds: float | None) -> str:
        """A JSON value. Like `datetime`, it rounds to a microsecond first and leaves out those that are behind."""
        if seconds is None:
            return "null"
        minute, second = divmod(seconds, 60)
        whole = int(second)
        milliseconds = round((second - whole) * 1e6) // 1000
        if milliseconds == 1000:  # noqa: PLR2004 - rounded up to the next second
            return self.text(minute * 60 + whole + 1)
        return f"{self[minute]}{_SECONDS[whole]}{_MILLISECONDS[milliseconds]}"
