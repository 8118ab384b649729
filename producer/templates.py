"""Prompt templates: a text file in which columns of the input stand in braces.

`{name}` is a placeholder when `name` begins with a letter or underscore and goes on with letters, digits,
underscores, dots, hyphens or single spaces inside, as spreadsheets name columns: `{submission}`, `{First name}`,
`{metadata.group}`. Every other brace is text, so code and JSON stand as they are; `{{` and `}}` give one brace each
where a placeholder would be read otherwise. A `}` first closes a literal `{` that is still open, which keeps the
`}}` at the end of nested JSON. What is put in is never read again, so braces in student work mean nothing.

Used by the producers; knows nothing of jobs.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.inputs.columns import did_you_mean, listed
from producer.inputs.text import read_text
from workers.contract.errors import InvalidInput
from workers.contract.job import MAX_PROMPT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TOKEN = re.compile(r"\{(?P<name>[^\W\d][\w.-]*(?: [\w.-]+)*)\}|\{\{|\}\}|[{}]")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One `{name}` and the line of the template it stands in."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: texts and placeholders in order. Make one with `load` or `parse`."""

    name: str
    """File name, for messages."""
    parts: tuple[str | Placeholder, ...]
    sha256: str
    """Of `text`, hex: the same on every system."""
    text: str = field(default="", repr=False)
    """As it was written, with line ends as `\\n`."""

    @classmethod
    def load(cls, path: Path) -> Template:
        """Read and parse the file. `InvalidInput` when it cannot be read, is not text, or has no placeholder."""
        text = read_text(path, where=path.name, max_bytes=MAX_PROMPT_BYTES)
        return cls.parse(text, name=path.name)

    @classmethod
    def parse(cls, text: str, *, name: str = "template") -> Template:
        """Parse a template's text. Without a placeholder every prompt would be the same: `InvalidInput`."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        template = cls(
            name=name, parts=tuple(_parts(text)), sha256=hashlib.sha256(text.encode()).hexdigest(), text=text
        )
        if not template.fields:
            raise InvalidInput(
                "no placeholder stands in the template, so every prompt would be the same; write {submission}, "
                "or the name of a column in braces, where the student's work goes",
                where=name,
            )
        return template

    @property
    def fields(self) -> frozenset[str]:
        """Names of all placeholders."""
        return frozenset(part.name for part in self.parts if isinstance(part, Placeholder))

    def render(self, fields: Mapping[str, object]) -> str:
        """Put the fields in. Text goes in verbatim, numbers, lists and objects as JSON, null as nothing.

        A placeholder without a field is `InvalidInput` with the template's line and the columns that exist.
        """
        return "".join(part if isinstance(part, str) else self._value(part, fields) for part in self.parts)

    def _value(self, placeholder: Placeholder, fields: Mapping[str, object]) -> str:
        if placeholder.name not in fields:
            raise InvalidInput(
                f"no column {placeholder.name!r} for {{{placeholder.name}}}{did_you_mean(placeholder.name, fields)}; "
                f"the columns are {listed(fields)}; for the braces themselves write {{{{{placeholder.name}}}}}",
                where=f"{self.name} line {placeholder.line}",
            )
        return as_text(fields[placeholder.name])


def as_text(value: object) -> str:
    """How a field reads in a prompt."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _parts(text: str) -> Iterator[str | Placeholder]:
    literal: list[str] = []
    position = open_braces = 0
    line = 1
    while token := _TOKEN.search(text, position):
        before = text[position : token.start()]
        literal.append(before)
        line += before.count("\n")
        position = token.end()
        if name := token["name"]:
            yield "".join(literal)
            yield Placeholder(name, line)
            literal.clear()
        elif token[0] == "}}" and open_braces:
            open_braces -= 1
            position -= 1  # only the first brace closes; the second is looked at again
            literal.append("}")
        else:
            open_braces = max(0, open_braces + {"{": 1, "}": -1}.get(token[0], 0))
            literal.append(token[0][0])
    yield "".join(literal) + text[position:]
