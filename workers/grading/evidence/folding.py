"""Texts as they are compared: what an editor, a JSON string or a web page changes about them does not count. Pure."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

SEPARATOR = "\x1f"
_TOKEN = re.compile(r"[^\W\d_]+|\d+|_+|[^\w\s]")
"""Words, numbers, signs one by one: white space only separates words."""
_ANY_WRITTEN_BREAK = re.compile(r"\\+[nrt]")
_WRITTEN_CHARACTER = re.compile(r"\\+u([0-9a-fA-F]{4})")
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff]")
_TRANSLATED = str.maketrans(
    dict.fromkeys("\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\\", " ")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | {"\u2026": "..."}
)


def folded(text: str, *, breaks_are_written: bool) -> str:
    """Tokens joined by a separator: without quote signs, backslashes, white space and invisible characters.

    `breaks_are_written` takes a written escape (a backslash and an n) for the line break that it stands for.
    """
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = _UNSEEN.sub("", unicodedata.normalize("NFKC", text))
    if "\\" in text:
        text = _WRITTEN_CHARACTER.sub(lambda found: chr(int(found[1], 16)), text)
        text = _ANY_WRITTEN_BREAK.sub(" ", text) if breaks_are_written else text
    return SEPARATOR.join(_TOKEN.findall(text.translate(_TRANSLATED)))


@dataclass(frozen=True)
class Submission:
    """One text that may be quoted, folded when it is first needed."""

    text: str

    @cached_property
    def with_breaks(self) -> str:
        """Folded; written escapes are line breaks."""
        return folded(self.text, breaks_are_written=True)

    @cached_property
    def plain(self) -> str:
        """Folded; written escapes are letters."""
        return self.with_breaks if "\\" not in self.text else folded(self.text, breaks_are_written=False)

    @cached_property
    def line_of_token(self) -> list[int]:
        """Line of each token of `with_breaks`, from 1."""
        lines: list[int] = []
        for number, line in enumerate(self.text.splitlines(), start=1):
            count = len(folded(line, breaks_are_written=True).split(SEPARATOR)) if line.strip() else 0
            lines += [number] * (count if folded(line, breaks_are_written=True) else 0)
        return lines
