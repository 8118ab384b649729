"""What a refusal's codes and words mean, from `refusals.toml`: one place for what every provider calls it.

Codes decide before words. Where a message may quote the prompt, words are read at its beginning alone: no text of a
student's may park an account.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_QUOTES_NO_PROMPT = frozenset({402, 412, 429})
"""Statuses about the account and its limits, which are decided before the prompt is looked at."""
_SEARCHED_CHARACTERS = 4_096
_GATEWAY_PREFIX = (
    r"\W{0,20}(?:(?:litellm\.)?\w{0,60}(?:Error|Exception)\s{0,4}[:-]\s{0,4}){0,8}"
    r"(?:\{.{0,200}?[\"']message[\"']\s{0,4}:\s{0,4}[\"'])?"
)
"""`litellm.BadRequestError: AnthropicException - {"type": ..., "message": "`: a gateway's names before the words."""


class Meaning(StrEnum):
    """What a refusal is about. Where an answer names several, the first listed here decides."""

    QUOTA_EXHAUSTED = "quota_exhausted"
    AUTH_FAILED = "auth_failed"
    CONTENT_FILTERED = "content_filtered"
    CONTEXT_TOO_LONG = "context_too_long"
    NO_ACCESS_TO_MODEL = "no_access_to_model"
    THROTTLED = "throttled"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence that some provider says instead of a code."""

    anywhere: re.Pattern[str]
    at_beginning: re.Pattern[str]
    unless: re.Pattern[str] | None
    statuses: frozenset[int]
    meaning: Meaning


@dataclass(frozen=True, slots=True)
class Refusals:
    """The file, read."""

    codes: Mapping[str, Meaning]
    words: tuple[Words, ...]


@cache
def known_refusals() -> Refusals:
    """Read the file, once per process."""
    content = tomllib.loads(files("workers.completion.errors").joinpath("refusals.toml").read_text(encoding="utf-8"))
    return Refusals(
        codes={entry["code"].lower(): Meaning(entry["meaning"]) for entry in content["code"]},
        words=tuple(_words(entry) for entry in content["words"]),
    )


def meaning_of(names: Iterable[str], *, status: int | None, message: str) -> Meaning | None:
    """Say what a refusal means by its names (code, type, status, reasons), else by its words; None when unknown."""
    known = known_refusals()
    found = {known.codes[name.lower()] for name in names if name.lower() in known.codes}
    said = _said(" ".join([message[:_SEARCHED_CHARACTERS], *names]), status, known.words)
    # a plain rate limit's name, which gateways put over everything, says less than words about money
    if said is not None and found <= {Meaning.THROTTLED}:
        return said
    return next((meaning for meaning in Meaning if meaning in found), None)


def _said(text: str, status: int | None, words: tuple[Words, ...]) -> Meaning | None:
    for entry in words:
        if status not in entry.statuses or (entry.unless is not None and entry.unless.search(text)):
            continue
        if entry.anywhere.search(text) if status in _QUOTES_NO_PROMPT else entry.at_beginning.match(text):
            return entry.meaning
    return None


def _words(entry: Mapping[str, Any]) -> Words:
    unless = entry.get("unless")
    return Words(
        anywhere=re.compile(entry["pattern"], re.IGNORECASE),
        at_beginning=re.compile(f"{_GATEWAY_PREFIX}(?:{entry['pattern']})", re.IGNORECASE | re.DOTALL),
        unless=re.compile(unless, re.IGNORECASE) if unless else None,
        statuses=frozenset(entry["statuses"]),
        meaning=Meaning(entry["meaning"]),
    )
