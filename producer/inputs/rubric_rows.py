"""A rubric as a table with one row per level, and back: what an editor shows.

Criteria that count errors, and disabled ones, are in no row and stay as they are.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from workers.contract.errors import InvalidInput
from workers.contract.schemes.rubric import parse_rubric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.contract.schemes.rubric import Rubric

CRITERION, ABOUT, LEVEL, LOWEST, HIGHEST, MEANING = "Criterion", "About it", "Level", "From", "To", "What it means"
ROW_COLUMNS = (CRITERION, ABOUT, LEVEL, LOWEST, HIGHEST, MEANING)
EXAMPLE_ROWS: Sequence[Mapping[str, object]] = (
    {
        CRITERION: "Correctness",
        ABOUT: "",
        LEVEL: "Complete",
        LOWEST: 6.0,
        HIGHEST: 6.0,
        MEANING: "Every part is solved.",
    },
    {CRITERION: "Correctness", ABOUT: "", LEVEL: "In part", LOWEST: 3.0, HIGHEST: 3.0, MEANING: "The main part is."},
    {CRITERION: "Correctness", ABOUT: "", LEVEL: "Missing", LOWEST: 0.0, HIGHEST: 0.0, MEANING: "No part is."},
)
_NOT_IN_AN_ID = re.compile(r"\W+")


def rows_of_rubric(rubric: Rubric) -> list[dict[str, object]]:
    """One row per level of each enabled criterion that has levels and counts no errors."""
    return [
        {
            CRITERION: criterion.name,
            ABOUT: criterion.description or "",
            LEVEL: level.label,
            LOWEST: level.score_min,
            HIGHEST: level.score_max,
            MEANING: level.description,
        }
        for criterion in rubric.enabled_criteria
        if not criterion.counts_errors
        for level in criterion.levels or ()
    ]


def rubric_of_rows(rows: Sequence[Mapping[str, Any]], *, title: str, base: Rubric | None = None) -> Rubric:
    """The rubric that the rows say; `base`, where they came from, keeps what no row shows. The same rows give `base`.

    A blank criterion is the one above it, a blank `To` is `From`. `InvalidInput` says which row cannot be read, or what
    is wrong with the rubric.
    """
    if base is not None and title.strip() == base.title and _plain(rows) == _plain(rows_of_rubric(base)):
        return base
    criteria = _criteria(rows)
    known = {criterion.name: criterion.model_dump(mode="json", exclude_unset=True) for criterion in _levelled(base)}
    taken: set[str] = {criterion.criterion_id for criterion in base.criteria} if base else set()
    kept: dict[str, Any] = base.model_dump(mode="json", exclude_unset=True) if base else {"rubric_id": "rubric"}
    made = [_criterion(name, found, known.get(name), taken) for name, found in criteria.items()]
    others = [each for each in kept.get("criteria", ()) if each.get("scoring_mode") == "error_count"]
    disabled = [each for each in kept.get("criteria", ()) if each not in others and not each.get("enabled", True)]
    title = title.strip() or "Rubric"
    return parse_rubric({**kept, "title": title, "criteria": [*made, *others, *disabled]}, where="the rubric")


def is_example(rubric: Rubric) -> bool:
    """Whether its criteria are those of the example, whatever its title."""
    return rubric.criteria == rubric_of_rows(EXAMPLE_ROWS, title="").criteria


def rubric_file(rubric: Rubric) -> str:
    """The rubric as a JSON file that `--rubric` and a course kit take."""
    return json.dumps(rubric.model_dump(mode="json", exclude_unset=True), ensure_ascii=False, indent=2) + "\n"


def _levelled(base: Rubric | None) -> list[Any]:
    return [each for each in base.enabled_criteria if not each.counts_errors] if base else []


def _plain(rows: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    return [tuple(row.get(name) or "" for name in ROW_COLUMNS) for row in rows]


def _criteria(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    above = ""
    for number, row in enumerate(rows, start=1):
        if not any(_plain([row])[0]):
            continue
        above = str(row.get(CRITERION) or "").strip() or above
        if not above:
            raise InvalidInput("name the criterion of the first level", where=f"row {number}")
        if not str(row.get(LEVEL) or "").strip():
            raise InvalidInput("name the level", where=f"row {number}")
        if row.get(LOWEST) is None:
            raise InvalidInput("say how many points the level gives, under 'From'", where=f"row {number}")
        found.setdefault(above, []).append(dict(row))
    if not found:
        raise InvalidInput("write one criterion with its levels", where="the rubric")
    return found


def _criterion(
    name: str, rows: list[dict[str, Any]], known: Mapping[str, Any] | None, taken: set[str]
) -> dict[str, object]:
    levels = [
        {
            "label": str(row[LEVEL]).strip(),
            "description": str(row.get(MEANING) or "").strip(),
            "score_min": float(row[LOWEST]),
            "score_max": float(row[LOWEST] if row.get(HIGHEST) is None else row[HIGHEST]),
        }
        for row in rows
    ]
    most = max(level["score_max"] for level in levels)  # type: ignore[type-var] # the numbers above
    about = next((str(row[ABOUT]).strip() for row in rows if row.get(ABOUT)), "")
    if known is None:
        known = {"criterion_id": _new_id(name, taken), "name": name, "scoring_mode": "level_band"}
    elif most == max(level["score_max"] for level in known["levels"]):
        most = known["max_points"]  # may be above the best level, on purpose
    return {**known, "description": about or None, "max_points": most, "levels": levels}


def _new_id(name: str, taken: set[str]) -> str:
    stem = _NOT_IN_AN_ID.sub("_", name).strip("_").casefold() or "criterion"
    found = next(
        each for number in range(len(taken) + 1) if (each := f"{stem}_{number}" if number else stem) not in taken
    )
    taken.add(found)
    return found
