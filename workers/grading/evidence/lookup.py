"""Whether a quotation occurs in a submission, and in which lines. Pure.

In this order, the first that fits decides:

    exact     as it is
    folded    white space, quote signs, escapes, dashes and invisible characters apart
    elided    its pieces between "..." occur in their order
    fuzzy     it resembles a passage to at least FUZZY_THRESHOLD percent, and differs from it in single letters of words
              alone: numbers and signs are what a program means, so they must be equal

`VERSION` rises when a quotation could be judged otherwise; it is kept with each outcome.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workers.grading.evidence.folding import SEPARATOR, Submission, folded

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 1
FUZZY_THRESHOLD = 92.0
"""Percent of equal characters: two slips of the pen in a line of code, and no other line."""
SHORTEST_FUZZY = 16
"""Characters; in less, a slip of the pen is another statement."""
LETTERS_PER_SLIP = 4
"""A word of so many letters may differ in one of them, of twice as many in two."""
LONGEST_FUZZY = 2_000
SHORTEST_ELIDED = 8
"""Characters of all pieces of an elided quotation: fewer occur in every program."""
_ELISION = re.compile(r"\[\s*(?:\.{3,}|\u2026)\s*\]|\(\s*(?:\.{3,}|\u2026)\s*\)|\.{3,}|\u2026")
_LINE_LABEL = re.compile(
    r"^[ \t]*(?:lines?[ \t]*)?\d+(?:[ \t]*[-\u2013][ \t]*\d+)?[ \t]*[:|)][ \t]?", re.IGNORECASE | re.MULTILINE
)
MOST_LINES = 1_000
"""Beyond it, a quotation says nothing about a place."""


def lines_of(quotation: str, submission: Submission) -> set[int] | None:
    """Line numbers of every occurrence of the quotation; empty when they are not known.

    None when it is not there. An empty quotation claims nothing, and is found everywhere.
    """
    quotation = quotation.strip()
    if not quotation:
        return set()
    if quotation in submission.text:
        return _exact_lines(quotation, submission.text)
    for form in _forms(quotation):
        found = _folded_lines(form, submission)
        if found is not None:
            return found
    return set() if _is_elided(quotation, submission) or _resembles(quotation, submission) else None


def _exact_lines(quotation: str, text: str) -> set[int]:
    lines: set[int] = set()
    height = len(quotation.splitlines())
    position = text.find(quotation)
    while position >= 0 and len(lines) < MOST_LINES:
        first = len(text[:position].splitlines()) + (position == 0 or text[position - 1] in "\r\n")
        lines.update(range(first, first + height))
        position = text.find(quotation, position + 1)
    return lines


def _forms(quotation: str) -> Iterator[str]:
    """The quotation, and without what models put around it."""
    yield quotation
    bare = quotation.strip(" \t\r\n\"'`.,;:")
    if bare and bare != quotation:
        yield bare
    unlabelled = _LINE_LABEL.sub("", quotation)
    if unlabelled.strip() and unlabelled != quotation:
        yield unlabelled


def _folded_lines(quotation: str, submission: Submission) -> set[int] | None:
    for breaks_are_written, text in ((True, submission.with_breaks), (False, submission.plain)):
        wanted = folded(quotation, breaks_are_written=breaks_are_written)
        if not wanted:
            return None  # signs alone: only an exact match says anything
        position = text.find(wanted)
        if position >= 0:
            return _token_lines(wanted, text, position, submission) if breaks_are_written else set()
    return None


def _token_lines(wanted: str, text: str, position: int, submission: Submission) -> set[int]:
    height = wanted.count(SEPARATOR) + 1
    lines: set[int] = set()
    token_lines = submission.line_of_token
    while position >= 0 and len(lines) < MOST_LINES:
        first = text.count(SEPARATOR, 0, position)
        lines.update(token_lines[first : first + height])
        position = text.find(wanted, position + 1)
    return lines


def _is_elided(quotation: str, submission: Submission) -> bool:
    spelled = quotation.replace("\\u2026", "\u2026")
    pieces = [piece for piece in _ELISION.split(spelled) if piece.strip(" \t\r\n\"'`.,;:")]
    if not pieces or pieces == [quotation]:
        return False
    return any(
        _stand_in_order([folded(piece, breaks_are_written=written) for piece in pieces], text)
        for written, text in ((True, submission.with_breaks), (False, submission.plain))
    )


def _stand_in_order(pieces: list[str], text: str) -> bool:
    if sum(map(len, pieces)) < SHORTEST_ELIDED:
        return False
    position = 0
    for piece in pieces:
        position = text.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return True


def _resembles(quotation: str, submission: Submission) -> bool:
    wanted, text = folded(quotation, breaks_are_written=True), submission.with_breaks
    if not SHORTEST_FUZZY <= len(wanted) <= LONGEST_FUZZY or len(text) < len(wanted):
        return False
    from rapidfuzz import fuzz  # noqa: PLC0415 - 2 MB that few workers need

    found = fuzz.partial_ratio_alignment(wanted, text, score_cutoff=FUZZY_THRESHOLD)
    if found is None:
        return False
    first = text.rfind(SEPARATOR, 0, found.dest_start + 1) + 1
    last = text.find(SEPARATOR, max(found.dest_end - 1, first))
    passage = text[first : last if last >= 0 else len(text)].split(SEPARATOR)
    words = wanted.split(SEPARATOR)
    return any(
        all(map(_is_slip, words, passage[start : start + len(words)]))
        for start in range(max(1, len(passage) - len(words) + 1))
        if len(passage) - start >= len(words)
    )


def _is_slip(word: str, written: str) -> bool:
    if word == written:
        return True
    if not (word.isalpha() and written.isalpha()):
        return False
    slips = min(2, min(len(word), len(written)) // LETTERS_PER_SLIP)
    if slips == 0:
        return False
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415 - as above

    return Levenshtein.distance(word, written, score_cutoff=slips) <= slips
