"""Strings that match a regular expression: which expressions strict mode takes, and one string for each draw.

Works on the parse tree of Python's own regular expressions; their syntax is a superset of what is accepted here.
"""

from __future__ import annotations

import re
import warnings
from re import _constants as code  # type: ignore[attr-defined]  # the parse tree is not part of the typed library
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.standin.draw import Draw

# Printable characters in the order in which a negated set or a dot tries them: letters read best.
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_.,:;/@#+*()!?'\"&%$=<>[]{}|~^`\\\n\t"
_CATEGORIES = {
    code.CATEGORY_DIGIT: "0123456789",
    code.CATEGORY_NOT_DIGIT: _ALPHABET[:52],
    code.CATEGORY_WORD: _ALPHABET[:62] + "_",
    code.CATEGORY_NOT_WORD: " -.,:;",
    code.CATEGORY_SPACE: " ",
    code.CATEGORY_NOT_SPACE: _ALPHABET[:62],
}
# An open repetition adds this many at most: answers stay short.
_MORE_REPEATS = 4
_TRIES = 20


def problem_with(pattern: Any) -> str | None:
    """What strict mode has against this pattern; None when it takes it."""
    if not isinstance(pattern, str):
        return f"{pattern!r} is not of type 'string'"
    try:
        return _unsupported(_compiled(pattern)[0])
    except re.error as error:
        return f"{error}"
    except (RecursionError, OverflowError):
        return "the expression is too large"


def matching_text(pattern: str) -> Callable[[Draw], str | None]:
    """A function that draws a string matching the pattern, or None when some tries found none."""
    tree, check = _compiled(pattern)

    def draw_text(draw: Draw) -> str | None:
        for _ in range(_TRIES):
            text = _sequence(tree, draw)
            # Anchors and word boundaries in odd places are not generated, only checked.
            if check.search(text):
                return text
        return None

    return draw_text


def _compiled(pattern: str) -> tuple[Any, re.Pattern[str]]:
    # Python warns of sets that a later version may read differently; that is no concern of who wrote the schema.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parser.parse(pattern), re.compile(pattern)


def _unsupported(tree: Any) -> str | None:
    for operation, argument in tree:
        if operation in (code.ASSERT, code.ASSERT_NOT):
            return "lookaround is not supported"
        if operation in (code.GROUPREF, code.GROUPREF_EXISTS):
            return "references to groups are not supported"
        for part in _parts(operation, argument):
            found = _unsupported(part)
            if found:
                return found
    return None


def _parts(operation: Any, argument: Any) -> list[Any]:
    if operation is code.BRANCH:
        return list(argument[1])
    if operation in (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT):
        return [argument[2]]
    if operation is code.SUBPATTERN:
        return [argument[-1]]
    return [argument] if operation is code.ATOMIC_GROUP else []


def _sequence(tree: Any, draw: Draw) -> str:
    return "".join(_piece(operation, argument, draw) for operation, argument in tree)


def _piece(operation: Any, argument: Any, draw: Draw) -> str:
    if operation in _SINGLE:
        return _SINGLE[operation](argument, draw)
    if operation is code.BRANCH:
        return _sequence(draw.choice(argument[1]), draw)
    if operation in (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT):
        least, most, part = argument
        times = least + draw.index(min(most - least, _MORE_REPEATS) + 1)
        return "".join(_sequence(part, draw) for _ in range(times))
    return "".join(_sequence(part, draw) for part in _parts(operation, argument))


def _one_of(members: Any, draw: Draw) -> str:
    if members[0][0] is code.NEGATE:
        excluded = re.compile(f"[{''.join(_class_text(member) for member in members[1:])}]")
        allowed = [character for character in _ALPHABET if not excluded.match(character)]
        return draw.choice(allowed) if allowed else "\u00b7"
    operation, argument = draw.choice(members)
    if operation is code.RANGE:
        return chr(argument[0] + draw.index(argument[1] - argument[0] + 1))
    if operation is code.CATEGORY:
        return draw.choice(_CATEGORIES[argument])
    return chr(argument)


_SINGLE: dict[Any, Callable[[Any, Draw], str]] = {
    code.LITERAL: lambda argument, _draw: chr(argument),
    code.NOT_LITERAL: lambda argument, draw: draw.choice(_ALPHABET.replace(chr(argument), "")[:62]),
    code.ANY: lambda _argument, draw: draw.choice(_ALPHABET[:26]),
    code.IN: _one_of,
}
_CATEGORY_TEXT = {
    code.CATEGORY_DIGIT: r"\d",
    code.CATEGORY_NOT_DIGIT: r"\D",
    code.CATEGORY_WORD: r"\w",
    code.CATEGORY_NOT_WORD: r"\W",
    code.CATEGORY_SPACE: r"\s",
    code.CATEGORY_NOT_SPACE: r"\S",
}


def _class_text(member: Any) -> str:
    operation, argument = member
    if operation is code.RANGE:
        return f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}"
    return _CATEGORY_TEXT[argument] if operation is code.CATEGORY else re.escape(chr(argument))
