"""JSON text in lines of results, without parsing it: a value that nobody looks at is copied as the store has it."""

from __future__ import annotations

import json
from json.encoder import encode_basestring


def as_stored(text: str | None) -> str:
    """A JSON value for a line of its own file; letters beyond ASCII, which some columns hold as escapes, are readable.

    The store's own text has no line ends.
    """
    if text is None:
        return "null"
    if "\\u" in text or "\n" in text or "\r" in text:
        return json.dumps(json.loads(text), ensure_ascii=False)
    return text


def quoted(text: str | None) -> str:
    """A text or nothing as a JSON value."""
    return "null" if text is None else encode_basestring(text)


MOST_REPEATED = 10_000


class Repeated(dict[str | None, str]):
    """`quoted` of texts that come again in many lines: names, models, fingerprints."""

    def __missing__(self, text: str | None) -> str:
        if len(self) >= MOST_REPEATED:
            self.clear()
        made = self[text] = quoted(text)
        return made
