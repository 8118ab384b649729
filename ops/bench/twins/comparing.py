"""What two gradings of the same programs have in common: rows of `gradequeue export`, by id."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from workers.contract.twins import TwinRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Rows = dict[str, dict[str, Any]]
"""Id -> the result line."""


def groups_of_twins(programs: Mapping[str, str]) -> list[list[str]]:
    """The ids of each group of identical work, line ends and trailing white space apart."""
    found: dict[str, list[str]] = defaultdict(list)
    for each, program in programs.items():
        found[TwinRule.EXACT.normal(program)].append(each)
    return [ids for ids in found.values() if len(ids) > 1]


def groups_apart(groups: Iterable[list[str]], rows: Rows) -> int:
    """How many groups did not get one and the same outcome."""
    return sum(len({_outcome(rows[each]) for each in ids}) > 1 for ids in groups)


def changed_by_twins(programs: Mapping[str, str], alone: Rows, twins: Rows) -> dict[str, list[str]]:
    """Ids whose outcome is not the one they had alone, by what they are with twins.

    `graded`: leaders and who has no twin; `followers`: those whose bytes are their leader's; `respaced`: followers
    whose line ends or trailing white space differ, which a grader may read otherwise.
    """
    found: dict[str, list[str]] = {"graded": [], "followers": [], "respaced": []}
    for each, row in twins.items():
        if _outcome(row) != _outcome(alone[each]):
            leader = row["same_as"]
            same = leader is not None and programs[leader] == programs[each]
            found["graded" if leader is None else "followers" if same else "respaced"].append(each)
    return found


def followers_before_leaders(rows: Rows) -> int:
    """How many followers ended before the job whose outcome they took."""
    followers = [row for row in rows.values() if row["same_as"] is not None]
    return sum(_ended(row) < _ended(rows[row["same_as"]]) for row in followers)


def _outcome(row: Mapping[str, Any]) -> str:
    """All of a row that says how the work was judged."""
    said = {name: row.get(name) for name in ("state", "result", "failure", "flags", "model_answered")}
    return json.dumps(said, sort_keys=True)


def _ended(row: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(row["finished_at"])
