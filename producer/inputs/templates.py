"""Prompt templates: a text file with columns of the input in braces.

A template is read against the columns that the input really has: `{X}` is a placeholder when X is the name of one,
whatever characters it holds (`{1. What does recursion mean?}`), or looks like a usual name: a letter or underscore,
then letters, digits, underscores, dots, hyphens or single spaces (`{submission}`, `{First name}`, `{metadata.group}`).
Every other brace is text, so code and JSON stay unchanged; `{{` and `}}` give one brace each where a placeholder
would be read otherwise. A `}` first closes a literal `{` that is still open, which keeps the `}}` at the end of nested
JSON. What is put in is never read again, so braces in student work mean nothing.

A template that would grade without the student's work is refused by `bind`, for every producer: see `near_misses`.
Used by the producers; knows nothing of jobs.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from producer.inputs.columns import did_you_mean, listed
from producer.inputs.encodings import Encodings
from producer.inputs.near_misses import find_near_miss
from producer.inputs.text import read_text
from producer.inputs.work_columns import work_columns
from workers.contract.errors import InvalidInput
from workers.contract.job import MAX_PROMPT_BYTES
from workers.contract.schemes.layout import reference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from workers.contract.origin import BatchOrigin
    from workers.contract.schemes.fence import Fence

_USUAL_NAME = r"[^\W\d][\w.-]*(?: [\w.-]+)*"
_OTHER_TOKENS = r"\{\{|\}\}|[{}]"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One `{name}` and its line in the template."""

    name: str
    line: int


@dataclass(frozen=True)
class Template:
    """A template's text. It renders nothing before it is bound to the columns of an input."""

    name: str
    """File name, for messages."""
    text: str = field(repr=False)
    """As it was written, with line ends as `\\n`."""

    @classmethod
    def load(cls, path: Path) -> Template:
        """Read the file. `InvalidInput` when it cannot be read, or is not text in UTF-8 or marked UTF-16."""
        text = read_text(path, where=path.name, max_bytes=MAX_PROMPT_BYTES, encodings=Encodings(certain=True))
        return cls.parse(text, name=path.name)

    @classmethod
    def parse(cls, text: str, *, name: str = "template") -> Template:
        """A template from its text."""
        return cls(name=name, text=text.replace("\r\n", "\n").replace("\r", "\n"))

    @cached_property
    def sha256(self) -> str:
        """Of `text`, hex: the same on every system."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def usual_names(self) -> frozenset[str]:
        """Placeholders of usual names: all that is known without the columns."""
        return frozenset(part.name for part in _parts(self.text, ()) if isinstance(part, Placeholder))

    def bind(self, columns: Collection[str], *, given: Mapping[str, str] | None = None) -> BoundTemplate:
        """The template for an input with these columns, and with texts that the instructor gave by name.

        `InvalidInput`, with the template's line, for a placeholder without a column, for what looks like a
        placeholder and is none, and for a template that brings no student's work into the prompt.
        """
        bound = self.as_made_for(columns, given=given)
        for part in bound.parts:
            if isinstance(part, Placeholder) and part.name not in columns:
                raise _no_column(part, columns, where=f"{self.name} line {part.line}")
        work = work_columns(columns)
        miss = find_near_miss(self.text, columns=columns, used=bound.fields)
        if miss is not None:
            raise InvalidInput(miss.message, where=f"{self.name} line {miss.line}")
        if not bound.fields & work:
            raise InvalidInput(_without_work(bound.fields, work), where=self.name)
        return replace(bound, work=bound.fields & work)

    def as_made_for(self, columns: Collection[str], *, given: Mapping[str, str] | None = None) -> BoundTemplate:
        """The template as it was once bound, with nothing refused: for prompts that exist."""
        inline = {name: text for name, text in (given or {}).items() if name not in columns}
        parts = [
            inline[part.name] if isinstance(part, Placeholder) and part.name in inline else part
            for part in _parts(self.text, columns)
        ]
        called = {part.name for part in _parts(self.text, columns) if isinstance(part, Placeholder)}
        bound = BoundTemplate(name=self.name, parts=tuple(parts), work=frozenset())
        apart = {name: text for name, text in (given or {}).items() if name not in inline or name not in called}
        return replace(bound, work=bound.fields & work_columns(bound.fields), apart=apart)


def keep_template(origin: BatchOrigin, template: Template, fields: Collection[str]) -> BatchOrigin:
    """The origin with the template in it, for regrading; `fields` are the columns that it brought in."""
    return replace(
        origin, template=template.sha256, template_text=template.text, template_columns=tuple(sorted(fields))
    )


def template_of_origin(origin: BatchOrigin, *, name: str) -> BoundTemplate | None:
    """The template that `keep_template` kept, or None. What was kept without its columns had usual names alone."""
    if origin.template_text is None:
        return None
    template = Template.parse(origin.template_text, name=name)
    columns = origin.template_columns
    return template.as_made_for(template.usual_names if columns is None else columns, given=origin.given)


@dataclass(frozen=True)
class BoundTemplate:
    """Texts and placeholders in order, ready to render. Made by `Template.bind`."""

    name: str
    parts: tuple[str | Placeholder, ...]
    work: frozenset[str]
    """The placeholders that hold what was handed in; where all of them are empty there is nothing to grade."""
    apart: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Texts that the instructor gave and that the template does not call by name."""

    @cached_property
    def fields(self) -> frozenset[str]:
        """Names of all placeholders."""
        return frozenset(part.name for part in self.parts if isinstance(part, Placeholder))

    @cached_property
    def words(self) -> str:
        """The template as instructions: what it says, with a reference in place of every field."""
        return "".join(part if isinstance(part, str) else reference(part.name) for part in self.parts)

    def values(self, fields: Mapping[str, object]) -> list[tuple[str, str]]:
        """Every field that the template brings in, once, in its order; text verbatim, numbers, lists, objects as JSON.

        A row without the field is `InvalidInput` with the template's line and the columns it has.
        """
        found: dict[str, str] = {}
        for part in self.parts:
            if isinstance(part, Placeholder) and part.name not in found:
                found[part.name] = self._value(part, fields)
        return list(found.items())

    @property
    def part_names(self) -> list[str]:
        """The name of each part of the student's, in order, as `values` gives them."""
        return list(dict.fromkeys(part.name for part in self.parts if isinstance(part, Placeholder)))

    @property
    def fenced_names(self) -> list[str]:
        """The name of each block that `render` fences, in order."""
        return [part.name for part in self.parts if isinstance(part, Placeholder) and part.name != "id"]

    def render(self, fields: Mapping[str, object], *, fence: Fence | None = None) -> str:
        """A prompt of one text, as earlier releases made it: the fields put in.

        With a fence each field but the id gets a block of its own, on lines of its own; the template's words
        stay outside. A row without the field is `InvalidInput` with the template's line and the columns it has.
        """
        return "".join(_apart(self._pieces(fields, fence)))

    def _pieces(self, fields: Mapping[str, object], fence: Fence | None) -> Iterator[_Piece]:
        for part in self.parts:
            if isinstance(part, str):
                yield _Piece(part)
            elif fence is None or part.name == "id":
                yield _Piece(self._value(part, fields))
            else:
                yield _Piece(fence.around(part.name, self._value(part, fields)), is_block=True)

    def _value(self, placeholder: Placeholder, fields: Mapping[str, object]) -> str:
        if placeholder.name not in fields:
            raise _no_column(placeholder, fields, where=f"{self.name} line {placeholder.line}")
        return as_text(fields[placeholder.name])


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    is_block: bool = False
    """Fenced: begins and ends a line."""


def as_text(value: object) -> str:
    """How a field reads in a prompt."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _apart(pieces: Iterator[_Piece]) -> Iterator[str]:
    """The texts in order, with a line end on both sides of a block where the template has none."""
    before = _Piece("\n")
    for piece in pieces:
        if not piece.text:
            continue
        touches_a_block = before.is_block or piece.is_block
        if touches_a_block and not before.text.endswith("\n") and not piece.text.startswith("\n"):
            yield "\n"
        yield piece.text
        before = piece


def _no_column(placeholder: Placeholder, columns: Collection[str], *, where: str) -> InvalidInput:
    name = placeholder.name
    return InvalidInput(
        f"no column {name!r} for {{{name}}}{did_you_mean(name, columns)}; the columns are {listed(columns)}; "
        f"for the braces themselves write {{{{{name}}}}}",
        where=where,
    )


def _without_work(fields: frozenset[str], work: frozenset[str]) -> str:
    if not fields:
        problem = "the template has no placeholder, so every prompt would be the same"
    else:
        used = ", ".join(f"{{{name}}}" for name in sorted(fields))
        problem = f"the prompt would not contain the student's work: the template uses only {used}"
    if not work:
        return f"{problem}, and the input has no column that could hold the work"
    return f"{problem}; write the name of a column in braces where the work goes: {listed(work)}"


def _parts(text: str, columns: Collection[str]) -> Iterator[str | Placeholder]:
    names = {" ".join(column.split()): column for column in columns}
    token_of = _token(columns)
    literal: list[str] = []
    position = open_braces = 0
    line = 1
    while token := token_of.search(text, position):
        before = text[position : token.start()]
        literal.append(before)
        line += before.count("\n")
        position = token.end()
        if name := token["name"]:
            yield "".join(literal)
            yield Placeholder(name if name in columns else names.get(" ".join(name.split()), name), line)
            line += name.count("\n")
            literal.clear()
        elif token[0] == "}}" and open_braces:
            open_braces -= 1
            position -= 1  # only the first brace closes; the second is looked at again
            literal.append("}")
        else:
            open_braces = max(0, open_braces + {"{": 1, "}": -1}.get(token[0], 0))
            literal.append(token[0][0])
    yield "".join(literal) + text[position:]


def _token(columns: Collection[str]) -> re.Pattern[str]:
    """What is looked for in a template: real columns first, the longest of them before its beginnings."""
    unusual = sorted((column for column in columns if column.split()), key=len, reverse=True)
    # spreadsheets break lines inside long titles, which people do not copy
    written = [r"\s+".join(map(re.escape, column.split())) for column in unusual]
    names = "|".join([*written, _USUAL_NAME])
    return re.compile(rf"\{{(?P<name>{names})\}}|{_OTHER_TOKENS}")
