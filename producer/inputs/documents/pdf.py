"""A PDF's text, page by page, with what was typed into form fields and comments; a scan has none.

*Source*: pypdf 7.1.1: `extract_text` knows neither form fields nor annotations, so both are taken beside it.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from producer.inputs.documents.pictures import MOST_PICTURES
from producer.inputs.documents.piece import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_PAGES = 500
"""More is a book, and minutes of work."""
PICTURES_ONLY = "the PDF holds pictures only, no text"
"""What `pdf_text` says of a scan."""
_TYPED_TEXTS = frozenset({"/FreeText"})
"""Annotations that are read as part of the page."""


def pdf_text(content: bytes) -> str:
    """The text of all pages. `Unreadable` for a scan, a locked or damaged file, or a page that cannot be read."""
    import pypdf  # noqa: PLC0415 - costs a fifth of a second, a folder of programs needs none of it

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # damaged files make it quote them
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        _refuse_locked_or_long(reader)
        pages = [_page(page) for page in reader.pages]
        fields = [f"{name}: {value}" for name, value in _filled_in(reader)]
        has_pictures = any("/XObject" in (page.get("/Resources") or {}) for page in reader.pages)
    except Unreadable:
        raise
    except Exception:  # noqa: BLE001 - what damaged files raise is open-ended; a page with a hole must not be graded
        raise Unreadable("the PDF is damaged or uses what cannot be read") from None
    text = "\n".join([*pages, *fields])
    if not text.strip():
        raise Unreadable(PICTURES_ONLY if has_pictures else "the PDF holds no text")
    return text


@dataclass(frozen=True, slots=True)
class ScannedPages:
    """Pages that hold pictures and no text."""

    numbers: tuple[int, ...]
    pictures: tuple[bytes, ...] = field(repr=False)
    """In order; none where one cannot be taken out or they are too many: a hole must not be graded."""


def scanned_pages(content: bytes) -> ScannedPages:
    """Of a PDF that `pdf_text` has read, or called a scan."""
    import pypdf  # noqa: PLC0415 - as above

    numbers: list[int] = []
    found: list[bytes] = []
    try:
        for number, page in enumerate(pypdf.PdfReader(io.BytesIO(content)).pages, start=1):
            if _page(page).strip() or "/XObject" not in (page.get("/Resources") or {}):
                continue
            numbers.append(number)
            if len(found) <= MOST_PICTURES:
                found += [image.data for image in page.images]
    except Exception:  # noqa: BLE001 - as above
        return ScannedPages(tuple(numbers), ())
    return ScannedPages(tuple(numbers), tuple(found) if len(found) <= MOST_PICTURES else ())


def _refuse_locked_or_long(reader: Any) -> None:
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("the PDF is locked with a password")
    if len(reader.pages) > MOST_PAGES:
        raise Unreadable(f"the PDF has more than {MOST_PAGES} pages")


def _page(page: Any) -> str:
    comments = [
        str(note.get("/Contents"))
        for note in (each.get_object() for each in page.get("/Annots") or ())
        if note.get("/Subtype") in _TYPED_TEXTS and note.get("/Contents")
    ]
    return "\n".join([page.extract_text(), *comments])


def _filled_in(reader: Any) -> Iterator[tuple[str, str]]:
    for name, known in (reader.get_fields() or {}).items():
        if (value := known.get("/V")) not in (None, "", "/Off"):
            yield str(name), str(value)
