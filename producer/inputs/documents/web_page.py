"""Text typed into a course system's field, which stores HTML, as plain text with its lists and code."""

from __future__ import annotations

import re

_BLANK_LINES = re.compile(r"\n{3,}")
_DROPPED = ("script", "style", "img", "head", "iframe", "object", "svg")


def web_page_text(html: str) -> str:
    """The text, with markdown's signs for lists, tables and code; a link keeps its address."""
    from bs4 import BeautifulSoup  # noqa: PLC0415 - a folder of programs needs none of it
    from markdownify import MarkdownConverter  # noqa: PLC0415

    soup = BeautifulSoup(html, "html.parser")
    for element in soup(_DROPPED):
        element.decompose()
    converter = MarkdownConverter(escape_asterisks=False, escape_underscores=False, escape_misc=False, autolinks=True)
    text: str = converter.convert_soup(soup)
    return _BLANK_LINES.sub("\n\n", text).strip()
