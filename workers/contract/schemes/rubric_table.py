"""Rubrics out of a CSV: Canvas's own rubric file, or a plain table with one row per level. Read by position.

Canvas's file repeats the titles `Rating Name`, `Rating Description`, `Rating Points`; its ratings come in any order. A
level gives the points of its row. *Source*: Canvas, rubric CSV 95766289.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, TypeAlias

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_BYTES = 4 * 1024 * 1024
_CANVAS = ("rubric name", "criteria name")
_NOT_IN_AN_ID = re.compile(r"\W+")
_Level: TypeAlias = dict[str, object]
_Found: TypeAlias = "Iterator[tuple[str, str, str, list[_Level]]]"
"""Rubric, criterion, its description, levels."""


def rubrics_of_table(path: Path) -> dict[str, object]:
    """The rubrics of the file by id, in the form that JSON gives them, unchecked.

    `InvalidInput` when it cannot be read, has neither form, or a level's points are no number.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=path.name) from None
    except UnicodeDecodeError:
        raise InvalidInput("is not UTF-8 text; save it in UTF-8", where=path.name) from None
    if len(raw) > _MAX_BYTES:
        raise InvalidInput("is too large to be a rubric", where=path.name)
    first = text.split("\n", 1)[0]
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count)) if any(row)]
    if not rows:
        raise InvalidInput("is empty", where=path.name)
    header = [" ".join(cell.split()).casefold() for cell in rows[0]]
    is_canvas = all(title in header for title in _CANVAS)
    found = _canvas_criteria(header, rows[1:], path) if is_canvas else _plain_criteria(header, rows[1:], path)
    return _documents(found, path)


def _documents(found: _Found, path: Path) -> dict[str, object]:
    criteria: dict[str, list[dict[str, object]]] = {}
    for rubric, name, description, levels in found:
        # by points as numbers; the best first, as people read them
        levels.sort(key=lambda level: (-float(str(level["score_max"])), str(level["label"])))
        criteria.setdefault(rubric, []).append({
            "criterion_id": _NOT_IN_AN_ID.sub("_", name).strip("_").casefold() or f"criterion_{len(criteria)}",
            "name": name,
            **({"description": description} if description else {}),
            "max_points": levels[0]["score_max"],
            "scoring_mode": "level_band",
            "levels": levels,
        })  # fmt: skip
    if not criteria:
        raise InvalidInput("holds no criterion with a level", where=path.name)
    ids = {rubric: _NOT_IN_AN_ID.sub("_", rubric).strip("_").casefold() or "rubric" for rubric in criteria}
    return {
        ids[rubric]: {"rubric_id": ids[rubric], "title": rubric, "criteria": below}
        for rubric, below in criteria.items()
    }


def _canvas_criteria(header: list[str], rows: list[list[str]], path: Path) -> _Found:
    places = [at for at, title in enumerate(header) if title == "rating points"]
    for line, row in enumerate(rows, start=2):
        cells = [*row, *[""] * (len(header) - len(row))]
        levels = []
        for at in places:
            label, description, points = (cells[place].strip() for place in _rating(header, at, path))
            if label or points:
                levels.append(_level(label, description, points, f"{path.name} line {line}"))
        if levels:
            name = cells[header.index("criteria name")].strip()
            about = cells[header.index("criteria description")].strip() if "criteria description" in header else ""
            yield cells[header.index("rubric name")].strip() or "rubric", name, about, levels


def _rating(header: list[str], points_at: int, path: Path) -> tuple[int, int, int]:
    """Positions of a rating's name, description and points: the nearest titles before the points."""
    try:
        names = max(at for at in range(points_at) if header[at] == "rating name")
        descriptions = max(at for at in range(points_at) if header[at] == "rating description")
    except ValueError:
        raise InvalidInput("a 'Rating Points' has no 'Rating Name' before it", where=path.name) from None
    return names, descriptions, points_at


def _plain_criteria(header: list[str], rows: list[list[str]], path: Path) -> _Found:
    missing = [title for title in ("criterion", "level", "points") if title not in header]
    if missing:
        raise InvalidInput(
            "is neither Canvas's rubric file nor a table with the columns criterion, level, points (and description); "
            f"there is no {missing[0]!r}",
            where=path.name,
        )
    criteria: dict[str, list[_Level]] = {}
    for line, row in enumerate(rows, start=2):
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        level = _level(
            cells["level"], cells.get("description", ""), cells.get("points", ""), f"{path.name} line {line}"
        )
        criteria.setdefault(cells["criterion"], []).append(level)
    for name, levels in criteria.items():
        yield path.stem, name, "", levels


def _level(label: str, description: str, points: str, where: str) -> _Level:
    try:
        number = float(points.replace(",", "."))
    except ValueError:
        raise InvalidInput(f"the points {points!r} of level {label!r} are no number", where=where) from None
    return {"label": label or description, "description": description, "score_min": number, "score_max": number}
