"""JSON text in the form that lines of results have, without parsing it: a value that nobody looks at is copied.

The store's results have no blanks between their parts, lines have one after each comma and colon. What lies between
the strings of a text is a small set of pieces that come again in every result, so each is put into form once.
"""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring

MOST_PIECES = 10_000
"""Numbers are part of the pieces, and a course has many; beyond it they are forgotten and begun again."""
_PLAIN_ESCAPES = re.compile(r"[^\\]*(?:\\[nrtbf][^\\]*)*")
"""Text whose quotation marks all begin or end a string, and whose escapes are the ones that `json` would write."""
_PARTS = re.compile(r"[,:]|[\[\]{}]|[^\s,:\[\]{}]+")


class _Pieces(dict[str, str]):
    """What lies between two strings, in form."""

    def __missing__(self, piece: str) -> str:
        if len(self) >= MOST_PIECES:
            self.clear()
        made = self[piece] = "".join(map(_in_form, _PARTS.findall(piece)))
        return made


def _in_form(part: str) -> str:
    if part in ",:":
        return part + " "
    return part if part in "[]{}" else json.dumps(json.loads(part))


_pieces = _Pieces()


def in_line_form(text: str | None) -> str:
    """What `json.dumps(json.loads(text), ensure_ascii=False)` gives, for text in which no object names a key twice."""
    if text is None:
        return "null"
    if text == "{}":
        return text
    if _PLAIN_ESCAPES.fullmatch(text) is None:
        return json.dumps(json.loads(text), ensure_ascii=False)
    parts = text.split('"')
    parts[::2] = map(_pieces.__getitem__, parts[::2])
    return '"'.join(parts)


def quoted(text: str | None) -> str:
    """A text or nothing as a JSON value."""
    return "null" if text is None else encode_basestring(text)
