"""Text that somebody else wrote, fit for a terminal, a log and a page: what would act on it is shown, not done.

Part of the contract. Names come from files, messages from providers: an escape sequence in one must not clear a screen,
and a line end must not forge a line of log.
"""

from __future__ import annotations

import re

_ACTS = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # controls, among them ESC and its 8-bit forms
    "\u2028-\u202e\u2066-\u2069"  # line ends, and what turns the direction of the text after it
    "\ufeff\ufff9-\ufffb\ud800-\udfff]"  # invisible marks; halves of characters, which no stream takes
)


def printable(text: object, *, keep: str = "") -> str:
    r"""The text with every character that acts instead of being seen written as an escape; `keep` names exceptions.

    `printable("\x1b[2J")` is `\x1b[2J` spelled out. Printable text comes back as it is.
    """
    return _ACTS.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), str(text))


def _escape(character: str) -> str:
    number = ord(character)
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    return named or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")  # noqa: PLR2004 - two hex digits
