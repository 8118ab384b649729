"""Who of the class a prompt names: every id, name, number and e-mail address that the input or a roster holds.

A class list is filled before anything is searched: a name in one student's work may be another's. What is an ordinary
word of programs as well (`max`, `12345`, `merge_sort`) is taken for a name only where the text makes it one:

    names of several words      in any order, also joined, with up to three signs between them
    numbers, logins, addresses  with six characters and a digit at least; addresses always
    an id of several words      (`ada_lovelace`) written as a name: apart, and capitalised
    a single word               in the student's own work, behind a word such as `author` or `by`

Imports the contract and nothing else of ours.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from producer.inputs.courses.roster import Roster, known_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


NAME, NUMBER, ADDRESS = "name", "id", "mail"
_WORD = re.compile(r"[^\W_]+")
_ASCII_WORD = re.compile("[a-z0-9]+")
_BETWEEN = re.compile(r"[ \t,._'@+-]{1,3}")
_BETWEEN_CAPITALISED = re.compile(r"[ ,.]{1,3}")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Scripts that put no space between words: their names are looked for anywhere."""
_SAYS_WHO = frozenset(
    {"author", "authors", "by", "name", "student", "submitted", "written", "login", "user", "username", "autor"}
)
_WORDS_BEHIND_IT = 3
_LEAST_NAME_LETTERS = 5
_LEAST_NUMBER_LENGTH = 6
_LEAST_OWN_LETTERS = 3
_LEAST_JOINED_LETTERS = 8


Who = tuple[str, "Mapping[str, object]"]
"""A student's id, and what is known beside the work."""


_SAYS_WHO_IT_IS = ("name", "members", "email", *(_NUMBERS := ("number", "user", "canvas_id", "github_user")))


def who(identity: str, metadata: Mapping[str, object]) -> Who:
    """The student without what says nothing of who they are."""
    known = known_as(metadata)
    return identity, {title: known[title] for title in _SAYS_WHO_IT_IS if title in known}


@dataclass(frozen=True, slots=True)
class Mention:
    """One place of a text that names a student, from and to these characters."""

    start: int
    end: int
    student: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Term:
    words: tuple[str, ...]
    student: str
    kind: str
    is_capitalised: bool = False


class _Token(NamedTuple):
    word: str
    start: int
    end: int


@dataclass(slots=True)
class ClassList:
    """Everybody who may be named, by the first word of each name."""

    _terms: dict[str, dict[tuple[str, ...], _Term]] = field(default_factory=lambda: defaultdict(dict))
    _joined: dict[str, str] = field(default_factory=dict)
    """`curiemarie`, as Canvas writes it -> student."""
    _certain: dict[str, str] = field(default_factory=dict)
    """Joined names that are known to be of several words, which one word of a text may be."""
    _own: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Student -> single words that are theirs, and what each of them is."""
    _begins: set[str] = field(default_factory=set)
    """Every word that a name of several words, a joined one or a number can begin with."""
    _unspaced: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, people: Iterable[Who], roster: Path | None) -> ClassList:
        """Of these students, and of the roster's."""
        made = cls()
        for identity, metadata in people:
            made.add(identity, metadata)
        if roster is not None:
            made.add_roster(roster)
        return made

    def add_roster(self, path: Path) -> None:
        """Its students, whether they handed in or not; `InvalidInput` when the file cannot be read.

        To be added last: who handed in is known by the id of the input.
        """
        for student in Roster.load(path).students:
            best = next((student[each] for each in ("number", "user", "email", "name") if each in student), "")
            self.add(best, student)

    def add(self, identity: str, metadata: Mapping[str, object]) -> None:
        """A student with this id, and what is known beside the work."""
        known = known_as(metadata)
        self._add_id(identity, identity)
        for title in _NUMBERS:
            if isinstance(value := known.get(title), str):
                self._add_id(identity, value)
        if isinstance(address := known.get("email"), str) and "@" in address:
            self._add(identity, ADDRESS, _words(address))
            self._add_id(identity, address.split("@", 1)[0])
        members = known.get("members")
        names = [known.get("name"), *(members if isinstance(members, list) else ())]
        for name in names:
            if isinstance(name, str):
                self._add_name(identity, name)

    def mentions(self, text: str, *, own: str) -> list[Mention]:
        """Where the text names somebody, in order; `own` is the id of the student whose work it is."""
        found = [*self._unspaced_mentions(text)]
        folded = text.lower() if text.isascii() else None
        if folded is not None and not self._may_name(set(_ASCII_WORD.findall(folded)), own):
            return found
        tokens = [_Token(_folded(word[0]), word.start(), word.end()) for word in _WORD.finditer(folded or text)]
        own_words = self._own.get(own, _NOTHING)
        position = 0
        while position < len(tokens):
            if tokens[position].word not in self._begins and tokens[position].word not in own_words:
                position += 1
                continue
            mention, length = self._mention_at(text, tokens, position, own)
            if mention is not None:
                found.append(mention)
            position += length
        return apart(found)

    def _may_name(self, words: set[str], own: str) -> bool:
        """Quickly false for most work, which names nobody."""
        return not (self._begins.isdisjoint(words) and words.isdisjoint(self._own.get(own, _NOTHING)))

    def _mention_at(self, text: str, tokens: list[_Token], position: int, own: str) -> tuple[Mention | None, int]:
        token = tokens[position]
        fitting = [
            (each.student, each.kind, len(each.words))
            for each in self._terms.get(token.word, _NOTHING).values()
            if _stands_at(each, text, tokens, position)
        ]
        fitting += self._joined_at(text, tokens[position : position + 3])
        if not fitting and token.word in self._own.get(own, _NOTHING) and _says_who(text, tokens, position):
            fitting = [(own, self._own[own][token.word], 1)]
        if not fitting:
            return None, 1
        student, kind, length = max(fitting, key=lambda each: each[2])
        return Mention(token.start, tokens[position + length - 1].end, student, kind), length

    def _joined_at(self, text: str, there: list[_Token]) -> Iterator[tuple[str, str, int]]:
        """Student, kind and number of words of a name that the input knows only as one word."""
        words = [token.word for token in there]
        if words[0] in self._certain:
            yield self._certain[words[0]], NAME, 1
        if not self._joined:
            return
        for order in ((0, 1), (1, 0), (2, 0, 1)):
            count = len(order)
            joined = "".join(words[each] for each in order) if len(words) >= count else ""
            if joined in self._joined and _are_near(text, there[:count]):
                yield self._joined[joined], NAME, count

    def _unspaced_mentions(self, text: str) -> Iterator[Mention]:
        if not self._unspaced or text.isascii():
            return
        for found in re.finditer("|".join(map(re.escape, self._unspaced)), text):
            yield Mention(found.start(), found.end(), self._unspaced[found[0]], NAME)

    def _add(self, student: str, kind: str, words: tuple[str, ...], *, is_capitalised: bool = False) -> None:
        if words:
            self._begins.add(words[0])
            self._terms[words[0]].setdefault(words, _Term(words, student, kind, is_capitalised))

    def _add_id(self, student: str, value: str) -> None:
        words = _words(value)
        if not words:
            return
        if "@" in value:
            self._add(student, ADDRESS, words)
        elif _is_number(value):
            self._add(student, NUMBER, words)
        elif len(words) > 1 and all(map(str.isalpha, words)):
            self._add(student, NUMBER, words, is_capitalised=True)
        elif len(words) == 1 and words[0].isalpha() and len(words[0]) >= _LEAST_OWN_LETTERS:
            self._own[student].setdefault(words[0], NUMBER)

    def _add_name(self, student: str, name: str) -> None:
        if _UNSPACED.search(name):
            if len(name.strip()) > 1:
                self._unspaced.setdefault(name.strip(), student)
            return
        last, comma, first = name.partition(",")
        words = (*_words(first), *_words(last)) if comma else _words(name)
        for word in words:
            if len(word) >= _LEAST_OWN_LETTERS:
                self._own[student].setdefault(word, NAME)
        if len(words) > 1 and sum(map(len, words)) >= _LEAST_NAME_LETTERS:
            for order in _orders(words):
                self._add(student, NAME, order)
        for joined in {"".join(order) for order in _orders(words)}:
            if len(joined) >= _LEAST_JOINED_LETTERS:
                (self._certain if len(words) > 1 else self._joined).setdefault(joined, student)
                self._begins.add(joined)
                if len(words) == 1:  # of which a text may write any piece first
                    self._begins.update(joined[first:last] for first, last in combinations(range(len(joined) + 1), 2))


_NOTHING: Mapping[Any, Any] = {}


def _stands_at(term: _Term, text: str, tokens: list[_Token], position: int) -> bool:
    if position + len(term.words) > len(tokens):
        return False
    there = tokens[position : position + len(term.words)]
    if any(token.word != word for token, word in zip(there, term.words, strict=True)):
        return False
    gap = _BETWEEN_CAPITALISED if term.is_capitalised else _BETWEEN
    apart = all(gap.fullmatch(text, one.end, other.start) for one, other in pairwise(there))
    return apart and (not term.is_capitalised or all(text[token.start].isupper() for token in there))


def _are_near(text: str, there: list[_Token]) -> bool:
    return all(_BETWEEN.fullmatch(text, one.end, other.start) for one, other in pairwise(there))


def _says_who(text: str, tokens: list[_Token], position: int) -> bool:
    before = tokens[max(0, position - _WORDS_BEHIND_IT) : position]
    return any(token.word in _SAYS_WHO and "\n" not in text[token.end : tokens[position].start] for token in before)


def apart(found: Iterable[Mention]) -> list[Mention]:
    """In order, without those that begin within another."""
    kept: list[Mention] = []
    for mention in sorted(found, key=lambda each: (each.start, -each.end)):
        if not kept or mention.start >= kept[-1].end:
            kept.append(mention)
    return kept


def _is_number(value: str) -> bool:
    digits = [character for character in value if character.isdigit()]
    if len(value) < _LEAST_NUMBER_LENGTH or not digits:
        return False
    return len(set(digits)) > 2 or any(map(str.isalpha, value))  # noqa: PLR2004 - 100000 is any number


def _orders(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Marie Salomea Curie: as it is, the last name first, and without what is between."""
    yield words
    if len(words) > 1:
        yield (words[-1], *words[:-1])
        yield (words[0], words[-1])
        yield (words[-1], words[0])


def _words(text: str) -> tuple[str, ...]:
    return tuple(_folded(word) for word in _WORD.findall(text))


def _folded(word: str) -> str:
    if word.isascii():
        return word.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", word) if unicodedata.category(c) != "Mn").casefold()
