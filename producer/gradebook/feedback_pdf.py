"""A student's page as a PDF, from the lines of its Markdown. Text of a model is text: it makes no link and no markup.

A sign that the font does not have would leave a hole in what the student reads, so such a page is refused by name. The
bundled font knows Western European letters; a font of the machine, or one that is named, knows more.
"""

from __future__ import annotations

import io
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from producer.gradebook.feedback import feedback_markdown, line_as_html
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from producer.gradebook.grade import Grade

_FOLDERS = (
    "/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts", "/System/Library/Fonts/Supplemental",
    "C:/Windows/Fonts",
)  # fmt: skip
_PAIRS = (
    ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"),
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("Arial Unicode.ttf", "Arial Bold.ttf"),
    ("arial.ttf", "arialbd.ttf"),
)
"""Regular and bold, the widest coverage first."""
_DEEPEST = 4
_SIZES = {1: 16, 2: 13}
_MARGIN_POINTS = 56


def feedback_pdf(grade: Grade, *, title: str, font: Path | None = None) -> bytes:
    """One student's page, the same bytes for the same grade. `InvalidInput` for a sign that the font lacks."""
    from reportlab.lib.pagesizes import A4  # noqa: PLC0415 - other formats need none
    from reportlab.platypus import Paragraph, SimpleDocTemplate  # noqa: PLC0415

    lines = feedback_markdown(grade, title=title).splitlines()
    name = _font(font)
    _refuse_holes(lines, name)
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        title=title,
        invariant=1,
        **dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), _MARGIN_POINTS),
    )
    document.build([Paragraph(text, _style(name, level)) for text, level in paragraphs(lines)])
    return buffer.getvalue()


def paragraphs(lines: Iterable[str]) -> Iterable[tuple[str, int]]:
    """Markup of the paragraph language, which knows `<b>` and entities as HTML does, and a heading's level or 0."""
    for line in lines:
        if line:
            shown = line_as_html(line)
            yield (f"<b>{shown.text}</b>" if shown.level else shown.text), shown.level


@lru_cache(maxsize=64)
def _style(font: str, level: int) -> Any:
    from reportlab.lib.styles import ParagraphStyle  # noqa: PLC0415

    size = _SIZES.get(level, 11 if level else 10)
    return ParagraphStyle(
        f"{font} {level}", fontName=font, fontSize=size, leading=size * 1.4, spaceBefore=8 if level else 2, spaceAfter=2
    )


@lru_cache(maxsize=8)
def _font(given: Path | None) -> str:
    """The family's name, registered with a bold face."""
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415
    from reportlab.pdfbase.ttfonts import TTFError, TTFont  # noqa: PLC0415

    regular, bold = (given, given) if given is not None else _of_machine() or (Path("Vera.ttf"), Path("VeraBd.ttf"))
    name = f"feedback-{regular.stem}"
    try:
        pdfmetrics.registerFont(TTFont(name, str(regular)))
        pdfmetrics.registerFont(TTFont(f"{name}-bold", str(bold)))
    except (TTFError, OSError):
        raise InvalidInput("is no TrueType font that can be read; give a .ttf file", where=regular.name) from None
    pdfmetrics.registerFontFamily(name, normal=name, bold=f"{name}-bold", italic=name, boldItalic=f"{name}-bold")
    return name


def _of_machine() -> tuple[Path, Path] | None:
    found: dict[str, Path] = {}
    for folder in _FOLDERS:
        for root, folders, files in os.walk(folder):
            if root.count(os.sep) - folder.count("/") >= _DEEPEST:
                folders.clear()
            found.update((file, Path(root) / file) for file in files if file.casefold().endswith(".ttf"))
    return next(((found[one], found[two]) for one, two in _PAIRS if one in found and two in found), None)


def _refuse_holes(lines: Iterable[str], font: str) -> None:
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415

    known = pdfmetrics.getFont(font).face.charToGlyph
    missing = sorted({character for line in lines for character in line if ord(character) not in known})
    if missing:
        shown = " ".join(f"U+{ord(character):04X}" for character in missing[:5])
        raise InvalidInput(
            f"the PDF's font has no sign for {shown}; name one that has with --feedback-font, or choose "
            "--feedback-format html"
        )
