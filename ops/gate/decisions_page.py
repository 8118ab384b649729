"""docs/decisions/README.md: one row per record, from the records' own headings."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
PAGE = FOLDER / "README.md"
INTRODUCTION = """# Decisions

Half a page each: context, choice, price. A new record changes an old one and names it; missing numbers were never used.
Generated from the records by `make docs`.

| | decision | |
|---|---|---|
"""
_HEADING = re.compile(r"# (?:\d+\. )?(.+)")
_NOTE = re.compile(r"\*((?:Replaced by|Changes) \[\d+\]\([^)]+\))[^*]*\*\n")
"""The line below the heading of a record that changes another one, or was replaced."""


def page() -> str:
    """Markdown: one row per record, by number. Raises `ValueError` for a record that has no heading."""
    return INTRODUCTION + "".join(map(_row, sorted(FOLDER.glob("[0-9]*.md"))))


def _row(record: Path) -> str:
    title, _, rest = record.read_text(encoding="utf-8").partition("\n")
    heading = _HEADING.fullmatch(title)
    if heading is None:
        raise ValueError(f"{record.name} must begin with '# ' and its title")
    note = _NOTE.match(rest.lstrip())
    shown = note[1][0].lower() + note[1][1:] if note else ""
    return f"| [{int(record.name[:4])}]({record.name}) | {heading[1]} | {shown} |\n"
