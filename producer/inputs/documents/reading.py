"""A file's bytes to pieces of text: by its suffix and its first bytes, archives within archives included."""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import dataclass
from operator import itemgetter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from producer.inputs.archive import (
    UNREADABLE_ENTRY,
    ArchiveLimits,
    entry_path,
    is_left_behind,
    refuse_long_directory,
)
from producer.inputs.documents.notebook import notebook_text
from producer.inputs.documents.pdf import PICTURES_ONLY, pdf_text, scanned_pages
from producer.inputs.documents.piece import Piece, Unreadable
from producer.inputs.documents.web_page import web_page_text
from producer.inputs.documents.word_document import word_text
from producer.inputs.text import shown
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.inputs.encodings import Encodings

MAX_FILE_BYTES = 32 * 1024 * 1024
"""Of a document before its text is taken out: pictures make notebooks and PDFs large."""
_MOST_DEPTH = 3
_MOST_PAGES_NAMED = 10
_MOST_ENTRIES = 2_000
_PICTURES = frozenset({
    ".png", ".jpg", ".jpeg", ".jfif", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif",
})  # fmt: skip
_PICTURE_MARKS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*")
_NO_TEXT = {
    ".doc": "it is an old Word document; .docx or PDF can be read",
    ".rtf": "it is a rich text document; .docx or PDF can be read",
    ".odt": "it is an OpenDocument text; .docx or PDF can be read",
    ".pages": "it is a Pages document; .docx or PDF can be read",
    ".ppt": "it is a presentation; PDF can be read",
    ".pptx": "it is a presentation; PDF can be read",
    ".xls": "it is a workbook; CSV can be read",
    ".xlsx": "it is a workbook; CSV can be read",
    ".7z": "it is an archive of a kind that is not unpacked; ZIP is",
    ".rar": "it is an archive of a kind that is not unpacked; ZIP is",
    ".class": "it is compiled, not source",
    ".pyc": "it is compiled, not source",
    ".exe": "it is compiled, not source",
    ".o": "it is compiled, not source",
    ".jar": "it is compiled, not source",
}
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentReader:
    """Reads the files of one input."""

    encodings: Encodings
    max_text_bytes: int
    """Of one file's text."""
    is_strict: bool = False
    """Whatever is not plain text, or cannot be read, is `InvalidInput` for the whole submission."""

    def pieces(self, name: str, content: bytes, *, where: str, is_form_text: bool = False) -> list[Piece]:
        """The file as one piece, an archive as one per file in it; a piece that gives no text says why."""
        return list(self._pieces(name, content, where, depth=0, is_form_text=is_form_text))

    def _pieces(
        self, name: str, content: bytes, where: str, *, depth: int, is_form_text: bool = False
    ) -> Iterator[Piece]:
        if _is_archive(name, content):
            yield from self._archive(name, content, where, depth)
            return
        try:
            text = self._bounded_text(name, content, where, is_form_text=is_form_text)
        except (Unreadable, InvalidInput) as problem:
            reason = problem.message if isinstance(problem, InvalidInput) else str(problem)
            if self.is_strict:
                raise InvalidInput(reason, where=where) from None
            pictures = _pictures(name, content, reason)
            yield Piece(
                name=name, problem=reason, is_picture=bool(pictures) or _is_picture(name, content), pictures=pictures
            )
        else:
            yield Piece(name=name, text=text)
            if content.startswith(b"%PDF-"):
                yield from self._scanned_in_between(name, content, where)

    def _bounded_text(self, name: str, content: bytes, where: str, *, is_form_text: bool) -> str:
        text = self._text(name, content, where, is_form_text=is_form_text)
        if len(text.encode("utf-8", "surrogatepass")) > self.max_text_bytes:
            raise Unreadable(f"its text is larger than {self.max_text_bytes:,} bytes")
        return text

    def _text(self, name: str, content: bytes, where: str, *, is_form_text: bool) -> str:
        suffix = PurePosixPath(name).suffix.casefold()
        if suffix == ".ipynb":
            return notebook_text(content)
        if suffix == ".docx":
            return word_text(content)
        if content.startswith(b"%PDF-"):
            return pdf_text(content)
        if _is_picture(name, content):
            raise Unreadable("it is a picture")
        if suffix in _NO_TEXT:
            raise Unreadable(_NO_TEXT[suffix])
        decoded = content.decode(self.encodings.find(lambda: [content], where=where))
        return web_page_text(decoded) if is_form_text else decoded

    def _archive(self, name: str, content: bytes, where: str, depth: int) -> Iterator[Piece]:
        if depth == _MOST_DEPTH:
            yield self._unread(name, "archives lie in one another too deep", where)
            return
        try:
            files = list(_files_of(name, content, self.max_text_bytes * 8))
        except (Unreadable, InvalidInput) as problem:
            yield self._unread(name, getattr(problem, "message", str(problem)), where)
            return
        for inner, inside in files:
            path = f"{name}/{inner}"
            if inside is None:
                yield self._unread(path, "it cannot be unpacked", where)
            else:
                yield from self._pieces(path, inside, f"{where}/{shown(inner)}", depth=depth + 1)

    def _scanned_in_between(self, name: str, content: bytes, where: str) -> Iterator[Piece]:
        """What a PDF with a text has on pages without one: named, so that no grade overlooks it."""
        found = scanned_pages(content)
        if not found.numbers:
            return
        pages = ", ".join(map(str, found.numbers[:_MOST_PAGES_NAMED]))
        more = f" and {len(found.numbers) - _MOST_PAGES_NAMED} more" if len(found.numbers) > _MOST_PAGES_NAMED else ""
        if self.is_strict:
            raise InvalidInput(f"page {pages}{more} is a picture", where=where)
        yield Piece(
            name=f"{name} page {pages}{more}", problem="it is a picture", is_picture=True, pictures=found.pictures
        )

    def _unread(self, name: str, problem: str, where: str) -> Piece:
        if self.is_strict:
            raise InvalidInput(problem, where=where)
        return Piece(name=name, problem=problem)


def _pictures(name: str, content: bytes, reason: str) -> tuple[bytes, ...]:
    """What could be shown of a file without a text."""
    if content.startswith(b"%PDF-"):
        return scanned_pages(content).pictures if reason == PICTURES_ONLY else ()
    return (content,) if _is_picture(name, content) else ()


def _is_picture(name: str, content: bytes) -> bool:
    return PurePosixPath(name).suffix.casefold() in _PICTURES or content.startswith(_PICTURE_MARKS)


def _is_archive(name: str, content: bytes) -> bool:
    lowered = name.casefold()
    return (lowered.endswith(".zip") and content.startswith(b"PK")) or lowered.endswith(_TARS)


def _files_of(name: str, content: bytes, max_bytes: int) -> Iterator[tuple[str, bytes | None]]:
    """(path, content or None when it cannot be unpacked) within bounds; `Unreadable` for the archive as a whole."""
    found = _zip_files(content, max_bytes) if name.casefold().endswith(".zip") else _tar_files(content, max_bytes)
    left = max_bytes
    for number, (path, inside) in enumerate(found):
        left -= len(inside or b"")
        if number >= _MOST_ENTRIES or left < 0:
            raise Unreadable("unpacked it is too large")
        yield path, inside


def _zip_files(content: bytes, max_bytes: int) -> Iterator[tuple[str, bytes | None]]:
    file = io.BytesIO(content)
    refuse_long_directory(file, "", ArchiveLimits(max_entries=_MOST_ENTRIES))
    try:
        archive = zipfile.ZipFile(file)
    except UNREADABLE_ENTRY:
        raise Unreadable("it is not a ZIP archive that can be read") from None
    with archive:
        for path, entry in sorted(((entry_path(entry), entry) for entry in archive.infolist()), key=itemgetter(0)):
            if entry.is_dir() or is_left_behind(path):
                continue
            try:
                with archive.open(entry) as opened:
                    inside = opened.read(min(max_bytes, MAX_FILE_BYTES) + 1)
            except UNREADABLE_ENTRY:
                yield path, None
            else:
                yield path, inside if len(inside) <= MAX_FILE_BYTES else None


def _tar_files(content: bytes, max_bytes: int) -> Iterator[tuple[str, bytes | None]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for number, entry in enumerate(archive):
                if number > _MOST_ENTRIES * 2:
                    raise Unreadable("unpacked it is too large")
                path = entry.name.removeprefix("./")
                if entry.isdir() or is_left_behind(path):
                    continue
                if entry.size > max_bytes:  # what is passed over is unpacked as well
                    raise Unreadable("unpacked it is too large")
                opened = archive.extractfile(entry) if entry.isreg() else None
                yield path, opened.read() if opened is not None else None
    except (tarfile.TarError, EOFError, OSError, ValueError):
        raise Unreadable("it is not an archive that can be read") from None
