"""A download's hand-ins as items, one at a time: parts are read when their student's turn comes, and not kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from producer.inputs.documents.pictures import sendable
from producer.inputs.documents.piece import Piece, Unreadable
from producer.inputs.documents.reading import MAX_FILE_BYTES, DocumentReader
from producer.inputs.item import InputItem, InputLimits, item_id
from producer.inputs.text import composed, shown
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from producer.inputs.courses.hand_in import HandIn, Part
    from producer.inputs.courses.recognise import Recognised
    from producer.inputs.courses.roster import Roster
    from producer.inputs.encodings import Encodings

SUBMISSION = "submission"
PICTURES_ONLY = "not graded: pictures only"
_BY_HAND = "remove it, and grade it by hand if it was handed in so"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadReader:
    """How the hand-ins of one download are read."""

    recognised: Recognised
    limits: InputLimits
    encodings: Encodings
    is_strict: bool
    """Problems are problems of the input; otherwise they are said in the item, and the rest is graded."""
    roster: Roster | None = None

    def items(self) -> Iterator[InputItem | InvalidInput]:
        """Each student's item, in the order of ids, or what is wrong with it. May raise `OSError`."""
        found = self.recognised.found
        if not found.hand_ins:
            yield InvalidInput(
                "the folder holds no submissions; put one file or one sub-folder each in it",
                where=self.recognised.tree.where,
            )
        for hand_in in found.hand_ins:
            where = f"{self.recognised.tree.where}/{shown(hand_in.place or hand_in.id)}"
            try:
                yield self._item(hand_in, where)
            except InvalidInput as problem:
                yield problem
        for path in found.unassigned:
            yield from self._unassigned(path)

    def _item(self, hand_in: HandIn, where: str) -> InputItem:
        pieces = [piece for part in hand_in.parts for piece in self._pieces(part, hand_in, where)]
        has_titles = hand_in.is_folder or len(pieces) > 1
        text = _sections(pieces) if has_titles else "".join(piece.text or "" for piece in pieces)
        size = len(text.encode("utf-8", "surrogatepass"))
        identity = item_id(composed(hand_in.id), where=where)
        left_out = _why_not_graded(pieces)
        if size > self.limits.max_submission_bytes:
            left_out = f"its files exceed {self.limits.max_submission_bytes:,} bytes together"
        if left_out and self.is_strict:
            raise InvalidInput(_strict_words(left_out, hand_in, pieces), where=where)
        metadata = {name: composed(value) for name, value in hand_in.metadata.items()}
        item = InputItem(
            id=identity,
            fields={"id": identity, SUBMISSION: "" if left_out else text},
            where=where,
            metadata=self.roster.joined(identity, metadata) if self.roster else metadata,
            not_read=tuple(f"{shown(piece.name)}: {piece.problem}" for piece in pieces if not piece.is_read),
            left_out=left_out,
        )
        return replace(item, with_pictures=self._with_pictures(item, pieces))

    def _with_pictures(self, item: InputItem, pieces: Sequence[Piece]) -> InputItem | None:
        """The item for a model that sees; None where it has nothing to show."""
        contents = [content for piece in pieces for content in piece.pictures]
        if not contents:
            return None
        try:
            pictures = sendable(contents)
        except Unreadable:
            return None
        signs = {f"\ue000{secrets.token_hex(8)} {number}\ue000": each for number, each in enumerate(pictures)}
        left = iter(signs)
        shown_pieces = [
            replace(piece, text="\n".join(islice(left, len(piece.pictures))), problem=None) if piece.pictures else piece
            for piece in pieces
        ]
        text = _sections(shown_pieces)
        size = len(text.encode("utf-8", "surrogatepass")) + sum(len(each.data) for each in pictures)
        if size > self.limits.max_submission_bytes:
            return None
        return replace(
            item,
            fields={**item.fields, SUBMISSION: text},
            not_read=tuple(f"{shown(each.name)}: {each.problem}" for each in shown_pieces if not each.is_read),
            left_out="",
            pictures=signs,
        )

    def _pieces(self, part: Part, hand_in: HandIn, where: str) -> list[Piece]:
        if part.path.endswith("/"):
            return []
        at = f"{where}/{shown(part.name)}" if hand_in.is_folder or not hand_in.place else where
        reader = DocumentReader(
            encodings=self.encodings, max_text_bytes=self.limits.max_submission_bytes, is_strict=self.is_strict
        )
        try:
            content = self._content(part)
        except InvalidInput as problem:
            if self.is_strict:
                raise
            return [Piece(name=part.name, problem=problem.message)]
        if part.without_frame is not None and not (content := part.without_frame(content)):
            return []
        pieces = reader.pieces(part.name, content, where=at, is_form_text=part.is_form_text)
        if hand_in.place == part.path:  # a student's own archive is named after the student
            pieces = [
                Piece(
                    name=piece.name.removeprefix(f"{part.name}/"),
                    text=piece.text, problem=piece.problem, is_picture=piece.is_picture, pictures=piece.pictures,
                )
                for piece in pieces
            ]  # fmt: skip
        return pieces

    def _content(self, part: Part) -> bytes:
        if part.text is not None:
            return part.text.encode("utf-8", "surrogatepass")
        return self.recognised.tree.read(part.path, max_bytes=max(MAX_FILE_BYTES, self.limits.max_submission_bytes))

    def _unassigned(self, path: str) -> Iterator[InputItem | InvalidInput]:
        where = f"{self.recognised.tree.where}/{shown(path)}"
        reason = f"its name names no student of a {self.recognised.layout.title} download"
        if self.is_strict:
            yield InvalidInput(f"{reason}; remove it, or use --layout plain", where=where)
            return
        try:
            identity = item_id(path, where=where)
        except InvalidInput as problem:
            yield problem
            return
        yield InputItem(
            id=identity, fields={"id": identity, SUBMISSION: ""}, where=where, left_out=f"not graded: {reason}"
        )


def _sections(pieces: Sequence[Piece]) -> str:
    """Each under a line that names it; what could not be read is named too, so that no grade overlooks it."""
    sections = []
    for piece in pieces:
        body = (
            piece.text
            if piece.text is not None
            else f"[This file was handed in and could not be read: {piece.problem}.]"
        )
        sections.append(f"===== {shown(piece.name)} =====\n{body}")
    return "\n".join(section if section.endswith("\n") else f"{section}\n" for section in sections)


def _why_not_graded(pieces: Sequence[Piece]) -> str:
    if any(piece.text and piece.text.strip() for piece in pieces):
        return ""
    unread = [piece for piece in pieces if not piece.is_read]
    if unread and all(piece.is_picture for piece in unread):
        return PICTURES_ONLY
    if unread:
        return f"not graded: no file could be read ({'; '.join(dict.fromkeys(str(piece.problem) for piece in unread))})"
    return "not graded: nothing was handed in" if not pieces else "not graded: what was handed in is empty"


def _strict_words(left_out: str, hand_in: HandIn, pieces: Sequence[Piece]) -> str:
    if left_out.startswith("its files"):
        return left_out
    if not pieces:
        return f"it holds no files; {_BY_HAND}"
    return f"{'its files are all' if hand_in.is_folder else 'the file is'} empty; {_BY_HAND}"
