"""The one way to a terminal: what is printed is shown as it is, without Rich's markup and without control characters.

Every command prints through `out`, `err` or `write_data`; a plain `print` or another `Console` is refused by a test.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment

from workers.contract.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType
    from rich.text import Text

WIDTH_OF_A_FILE = 240


class SafeConsole(Console):
    """A console whose strings are text: no markup, no emoji codes, no control characters, in tables as in lines.

    Colours and cursor moves that Rich itself makes pass, because they are no part of a segment's text.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, *arguments: Any, **options: Any) -> Text:
        """Rich's reading of a string, for cells and titles too: made printable before its width is measured."""
        return super().render_str(printable(text, keep="\n\t"), *arguments, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Rich's segments, their text made printable."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control or text == "\n" else Segment(printable(text, keep="\n"), style)


def _console(*, stderr: bool = False) -> SafeConsole:
    """A console as wide as its terminal; a pipe or a file has no width, and paths and cells stay whole there."""
    stream = sys.stderr if stderr else sys.stdout
    is_fitted = stream.isatty() or "COLUMNS" in os.environ
    return SafeConsole(stderr=stderr, width=None if is_fitted else WIDTH_OF_A_FILE)


out = _console()
err = _console(stderr=True)


def write_data(line: str) -> None:
    """A line of results to standard output: exact for a file or a program, printable for a terminal."""
    if sys.stdout.isatty():
        line = printable(line.rstrip("\r\n"), keep="\n\t") + "\n"
    sys.stdout.write(line)  # not by way of click, which would take escape sequences out of a program's data
