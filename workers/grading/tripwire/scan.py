"""Passages of student work that seem to address the grader: found by rules in a data file, without a model. Pure.

A tripwire, not a wall: it shows a person where to look, and changes neither prompt nor grade.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import TYPE_CHECKING

from workers.contract.flag import Flag, FlagKind
from workers.grading.tripwire.normal import readings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workers.grading.tripwire.normal import Reading

LONGEST_SCANNED = 200_000
"""Characters; what is hidden behind so many is read by no grader with attention either."""
MOST_SPANS = 20
ONE_PASSAGE = 40
"""Characters between two findings that are still one passage."""
_GAP = r"[\s#/*\"'`.,;:!?>|()\[\]=_-]+"
"""Between two words of a pattern: white space, comment signs, punctuation."""
_Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Span:
    """A passage of the work, from and to these characters of it."""

    start: int
    end: int
    rule: str

    def place_in(self, work: str) -> str:
        """`line 12, characters 5-60`, both counted from 1."""
        line_start = work.rfind("\n", 0, self.start) + 1
        line = work.count("\n", 0, self.start) + 1
        return f"line {line}, characters {self.start - line_start + 1}-{self.end - line_start}"


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    groups: tuple[str, ...]
    within: int


@dataclass(frozen=True, slots=True)
class _Rules:
    version: int
    rules: tuple[_Rule, ...]
    groups: Mapping[str, re.Pattern[str]]
    hints: Mapping[str, tuple[str, ...]]

    def matches(self, name: str, text: str) -> list[_Place]:
        """Where this group is found."""
        hints = self.hints.get(name)
        if hints is not None and not any(hint in text for hint in hints):
            return []
        return [(found.start(), found.end()) for found in self.groups[name].finditer(text)]


@cache
def _rules() -> _Rules:
    content = tomllib.loads(files(__package__).joinpath("rules.toml").read_text(encoding="utf-8"))
    return _Rules(
        version=content["version"],
        rules=tuple(_Rule(rule["name"], tuple(rule["groups"]), rule.get("within", 0)) for rule in content["rules"]),
        groups={name: _compiled(patterns) for name, patterns in content["groups"].items()},
        hints={name: tuple(words) for name, words in content["hints"].items()},
    )


def _compiled(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_with_gaps(pattern)})" for pattern in patterns))


def _with_gaps(pattern: str) -> str:
    """A space stands for a gap; one that may be left out stays optional."""
    return re.sub(r"(?<!\\) (\?)?", lambda found: f"(?:{_GAP})?" if found[1] else _GAP, pattern)


def rules_version() -> int:
    """Rises when a passage could be judged otherwise; it is kept with each outcome."""
    return _rules().version


def suspicious_spans(work: str) -> list[Span]:
    """Every passage that a rule finds, in order, those close together joined; at most `MOST_SPANS`."""
    found = sorted(
        {span for reading in readings(work[:LONGEST_SCANNED]) for span in _found(reading)},
        key=lambda span: (span.start, -span.end),
    )
    joined: list[Span] = []
    for span in found:
        if joined and span.start <= joined[-1].end + ONE_PASSAGE:
            last = joined[-1]
            joined[-1] = Span(last.start, max(last.end, span.end), last.rule)
        else:
            joined.append(span)
    return joined[:MOST_SPANS]


def injection_flags(works: Sequence[str]) -> tuple[Flag, ...]:
    """A flag for each passage; its place counts in the part of the work that holds it."""
    return tuple(
        Flag(
            kind=FlagKind.INJECTION_SUSPECTED, path=_where(span, work, number, len(works)), message=_MESSAGE[span.rule]
        )
        for number, work in enumerate(works, start=1)
        for span in suspicious_spans(work)
    )


_MESSAGE: Mapping[str, str] = {
    "override": "tells the grader to drop its instructions",
    "role": "poses as another speaker than the student",
    "escape": "poses as the end of the submission",
    "addressed demand": "demands something of the grader",
    "demanded reward": "demands a grade",
    "addressed reward": "speaks to the grader about the grade",
    "authority": "claims that somebody decided the grade",
    "dictated answer": "dictates the grader's answer",
}


def _where(span: Span, work: str, number: int, parts: int) -> str:
    place = span.place_in(work)
    return place if parts == 1 else f"part {number}, {place}"


def _found(reading: Reading) -> Iterator[Span]:
    known = _rules()
    matches: dict[str, list[_Place]] = {}
    for rule in known.rules:
        found: list[list[_Place]] = []
        for name in rule.groups:  # the rarest first: without it, the others are not looked for
            if name not in matches:
                matches[name] = known.matches(name, reading.text)
            found.append(matches[name])
            if not matches[name]:
                break
        else:
            yield from (_span(places, reading, rule) for places in _together(rule, found))


def _span(places: tuple[_Place, ...], reading: Reading, rule: _Rule) -> Span:
    first, last = min(start for start, _ in places), max(end for _, end in places)
    return Span(reading.places[first], reading.places[last - 1] + 1, rule.name)


def _together(rule: _Rule, matches: list[list[_Place]]) -> Iterator[tuple[_Place, ...]]:
    if len(matches) == 1:
        yield from ((place,) for place in matches[0])
        return
    first, second = matches
    if len(first) * len(second) > _MOST_PAIRS:
        first, second = first[:_FEW], second[:_FEW]
    for one, other in product(first, second):
        if max(one[0], other[0]) - min(one[1], other[1]) <= rule.within:
            yield one, other


_MOST_PAIRS = 40_000
_FEW = 200
