"""What looks like a placeholder and is none: a column's name in the braces, brackets or signs of another language.

Only columns that no placeholder uses are looked for, so a template may say `<code>` around its `{code}`. Code, JSON and
C braces name no column and stay text; the id is left out, because code is full of `[id]` and `{ id }`. Columns that say
a person's identity are looked for in braces only: `$name` is code more often than a mistake.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.inputs.work_columns import is_about_the_student

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_IN_BRACES = re.compile(r"\{\{+[^\S\n]*(?P<twice>[^{}\n]+?)[^\S\n]*\}\}+|(?<!\{)\{(?P<once>[^{}\n]+)\}")
_IN_OTHER_SIGNS = re.compile(
    r"<<?\s*(?P<angles>[^<>\n]+?)\s*>>?"
    r"|(?<![\w)\]])\[\[?\s*(?P<brackets>[^\[\]\n]+?)\s*\]\]?(?![(\[:])"
    r"|\$(?P<dollar>\w+)"
    r"|%\((?P<python>[^()\n]+)\)s"
    r"|%(?P<percent>[^%\s](?:[^%\n]*[^%\s])?)%"
    r"|[\uff5b\u3010]\s*(?P<full_width>[^\uff5d\u3011\n]+?)\s*[\uff5d\u3011]"
)
_PYTHONS_OWN = re.compile(
    r"(?:\[\w+\]|\.[^\W\d]\w*)*(?:![rsa])?(?::(?:[^\s{}]?[<>=^])?[-+]?[#z]*0?\d*[,_]?(?:\.\d+)?[a-z%]?)?$"
)
"""What `str.format` and f-strings take behind a name: `{submission!s}`, `{name:>10}`, `{files[0]}`, `{work.text}`."""
_SIGNS_OF_CODE = frozenset("\"'`=;:,()[]<>")
"""What has one that the column's name has not is code or JSON, however similar: `{question: 1}`."""
_SIMILAR = 0.8
"""difflib's ratio; `Submision` and a question that lost its number reach it, two words of code do not."""
_LEAST_LETTERS = 5
"""Shorter names are similar to too much."""
_WORDS_OF_A_QUESTION = 3


@dataclass(frozen=True, slots=True)
class NearMiss:
    """Where something was probably meant as a placeholder, and what to write instead."""

    line: int
    message: str


def find_near_miss(text: str, *, columns: Collection[str], used: Collection[str]) -> NearMiss | None:
    """The first near miss of a template, or None. `used` are the columns that placeholders bring in."""
    unused = {_folded(column): column for column in columns if column not in used and column != "id"}
    work = {folded: column for folded, column in unused.items() if not is_about_the_student(column)}
    known = {_folded(column) for column in used}
    found = [*_near_misses_in_braces(text, unused, known), *_near_misses_in_other_signs(text, work)]
    return min(found, key=lambda miss: miss.line, default=None)


def _near_misses_in_braces(text: str, unused: dict[str, str], known: set[str]) -> Iterator[NearMiss]:
    for match in _IN_BRACES.finditer(text):
        inner = match["twice"] or match["once"]
        folded = _folded(inner)
        if folded in known:
            continue
        column = _meant(folded, unused, is_doubled=match["twice"] is not None)
        if column is not None:
            literal = "" if match["twice"] is None else f"; for the text {{{inner}}} itself write {{{{{inner}}}"
            yield _near_miss(text, match, f"did you mean {{{column}}}, the column{literal}?")
        elif match["once"] and inner.endswith("?") and len(folded.split()) >= _WORDS_OF_A_QUESTION:
            yield _near_miss(text, match, "the input has no such column; write a column's name as the file has it")


def _near_misses_in_other_signs(text: str, work: dict[str, str]) -> Iterator[NearMiss]:
    for match in _IN_OTHER_SIGNS.finditer(text):
        column = work.get(_folded(next(filter(None, match.groups()))))
        is_tag = match["angles"] is not None and f"</{match['angles']}>" in text
        if column is not None and not is_tag:
            yield _near_miss(text, match, f"placeholders use single braces: write {{{column}}} for the column")


def _near_miss(text: str, match: re.Match[str], advice: str) -> NearMiss:
    return NearMiss(
        line=text.count("\n", 0, match.start()) + 1,
        message=f"{match[0]} looks like a placeholder but is not one, and would be sent as it is; {advice}",
    )


def _meant(folded: str, unused: dict[str, str], *, is_doubled: bool) -> str | None:
    """The intended column, perhaps with another template language's marks and filters around its name."""
    bare = _PYTHONS_OWN.sub("", folded, count=1).strip("% ")
    if is_doubled:
        bare = bare.partition("|")[0].strip("#^&>/!@$ ")
    return unused.get(folded) or unused.get(bare) or _similar(folded, unused)


def _similar(folded: str, unused: dict[str, str]) -> str | None:
    if len(folded) < _LEAST_LETTERS:
        return None
    signs = _SIGNS_OF_CODE & set(folded)
    candidates = [name for name in unused if len(name) >= _LEAST_LETTERS and signs <= set(name)]
    close = difflib.get_close_matches(folded, candidates, n=1, cutoff=_SIMILAR)
    return unused[close[0]] if close else None


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
