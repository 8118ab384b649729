"""Text of the page. Streamlit reads labels and headings as Markdown; what people wrote must stay what they wrote."""

from __future__ import annotations

import re

from workers.contract.printable import printable

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:@/&])")


def plain(text: object) -> str:
    """The text on one line, with everything escaped that is Markdown, HTML, an emoji code or a control character."""
    return _MARKDOWN.sub(r"\\\1", " ".join(printable(text, keep="\n\r\t").split()))
