"""The benchmark of twins finds every outcome that twins changed, and says whose it is."""

from __future__ import annotations

from typing import Any

from ops.bench.twins.comparing import changed_by_twins, followers_before_leaders, groups_apart, groups_of_twins

PROGRAMS = {"a": "x\n", "b": "x\n", "c": "x  \n", "d": "y\n"}


def rows(**scores: int) -> dict[str, dict[str, Any]]:
    return {each: {"state": "succeeded", "result": {"score": score}, "same_as": None} for each, score in scores.items()}


def followed(*, leader: int, alone: int) -> dict[str, dict[str, Any]]:
    found = rows(a=leader, b=leader, c=leader, d=alone)
    for each in "bc":
        found[each]["same_as"] = "a"
    return found


def test_nothing_is_reported_where_everybody_has_the_outcome_they_had_alone():
    nothing: dict[str, list[str]] = {"graded": [], "followers": [], "respaced": []}
    assert changed_by_twins(PROGRAMS, rows(a=1, b=1, c=1, d=2), followed(leader=1, alone=2)) == nothing


def test_changed_outcomes_are_told_apart_by_what_was_sent_for_them():
    changed = changed_by_twins(PROGRAMS, rows(a=1, b=2, c=3, d=4), followed(leader=1, alone=5))
    assert changed == {"graded": ["d"], "followers": ["b"], "respaced": ["c"]}
    assert changed_by_twins(PROGRAMS, rows(a=1, b=2, c=2, d=4), followed(leader=2, alone=4))["graded"] == ["a"]


def test_a_flag_or_a_failure_alone_is_another_outcome():
    twins = followed(leader=1, alone=2)
    twins["d"]["flags"] = [{"kind": "no_work"}]
    assert changed_by_twins(PROGRAMS, rows(a=1, b=1, c=1, d=2), twins)["graded"] == ["d"]
    twins["b"] |= {"result": None, "failure": {"kind": "refused"}}
    assert groups_apart(groups_of_twins(PROGRAMS), twins) == 1


def test_a_follower_that_ended_first_is_counted():
    twins = followed(leader=1, alone=2)
    for each, minute in {"a": 2, "b": 1, "c": 2, "d": 1}.items():
        twins[each]["finished_at"] = f"2026-11-27T10:0{minute}:00.000+00:00"
    assert followers_before_leaders(twins) == 1
