"""A .docx as the text that Word shows: paragraphs, tables, text boxes, notes, insertions, answer boxes, fields.

python-docx opens the package; its `paragraph.text` leaves out tracked insertions, content controls, fields and text
boxes, so the text is taken from every `w:t` below the body in document order, deletions apart. Equations are written
by their characters alone. *Source*: python-docx 1.2.0, docx/oxml/text/paragraph.py; ECMA-376 part 1, 17 and 22.1.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

from producer.inputs.documents.piece import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_COMPATIBILITY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_NOT_SHOWN = frozenset({f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_COMPATIBILITY}Fallback"})
"""Deleted, moved away, a field's formula, a text box's second copy for older programs."""
_NOTES = ("footnotes", "endnotes")
_MOST_BYTES = 128 * 1024 * 1024
"""Of the parts unpacked: a document of text has a few megabytes."""


def word_text(content: bytes) -> str:
    """The document's text, then its notes. `Unreadable` when this is no document that can be read whole."""
    import docx  # noqa: PLC0415 - lxml costs a tenth of a second, a folder of programs needs none of it
    from docx.opc.exceptions import PackageNotFoundError  # noqa: PLC0415

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            if sum(entry.file_size for entry in package.infolist()) > _MOST_BYTES:
                raise Unreadable("unpacked it is too large")
        document = docx.Document(io.BytesIO(content))
        body = _text(document.element.body)
        notes = [_text(note) for part in _note_parts(document) for note in part]
    except (PackageNotFoundError, zipfile.BadZipFile, KeyError, ValueError, SyntaxError, OSError, AttributeError):
        raise Unreadable("it is not a Word document that can be read") from None
    return "\n".join([body, *filter(str.strip, notes)])


def _note_parts(document: Any) -> Iterator[Any]:
    from docx.oxml import parse_xml  # noqa: PLC0415 - see `word_text`; it resolves no entities

    for relation in document.part.rels.values():
        if relation.reltype.rsplit("/", 1)[-1] in _NOTES and not relation.is_external:
            yield parse_xml(relation.target_part.blob)


def _text(element: Any) -> str:
    return "".join(_pieces(element)).strip("\n")


def _pieces(element: Any) -> Iterator[str]:
    """Depth first without recursion: a document may nest tables as deep as it likes."""
    waiting: list[Any] = [element]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif found.tag not in _NOT_SHOWN:
            if (written := _written(found)) is not None:
                yield written
            after = _AFTER.get(found.tag)
            waiting.extend([*([after] if after else []), *reversed(found)])


def _written(element: Any) -> str | None:
    if element.tag in {f"{_W}t", f"{_M}t"}:
        return str(element.text or "")
    if element.tag == f"{_W}sym":
        return chr(int(element.get(f"{_W}char", "fffd"), 16))
    return _SIGNS.get(element.tag)


_SIGNS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_AFTER = {f"{_W}p": "\n", f"{_W}tc": "\t", f"{_W}tr": "\n"}
