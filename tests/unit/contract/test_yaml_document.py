"""Grading documents in YAML say what the same words in JSON would say."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from workers.contract.errors import InvalidInput
from workers.contract.schemes.document import read_document
from workers.contract.schemes.rubric import rubric_from_option
from workers.contract.schemes.scheme import scheme_from_options
from workers.contract.schemes.yaml_document import parse_yaml

if TYPE_CHECKING:
    from pathlib import Path

RUBRIC = """\
# points of both criteria follow from the same levels
rubric_id: loops
rubric_version: "2"
title: Loops
criteria:
  - criterion_id: runs
    name: Runs
    max_points: 10
    levels: &levels
      - {label: Yes, score_min: 9, score_max: 10}
      - {label: No, description: "it: stops", score_min: 0, score_max: 4.5}
  - {criterion_id: style, name: 'On', max_points: 10, levels: *levels}
"""
MANY_ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]\n" for below, name in pairwise("abcdefg")
)


def rubric_file(folder: Path, text: str = RUBRIC) -> Path:
    path = folder / "rubric.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_rubric_in_yaml_is_the_rubric_in_json(tmp_path: Path):
    path = rubric_file(tmp_path)
    as_json = tmp_path / "rubric.json"
    as_json.write_text(json.dumps(read_document(path)))
    rubric = rubric_from_option(str(path))
    assert rubric == rubric_from_option(str(as_json))
    assert [level.label for level in rubric.criteria[1].levels or ()] == ["Yes", "No"]
    assert rubric.criteria[1].name == "On"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: yes", {"a": "yes"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 2026-11-27", {"a": "2026-11-27"}),
        ("a: 012", {"a": 12}),
        ('a: "12"', {"a": "12"}),
        ("a: [1.5, true, null, ~]", {"a": [1.5, True, None, None]}),
        ("a: <<", {"a": "<<"}),
        ("", None),
    ],
)
def test_only_numbers_truths_and_null_are_no_texts(text: str, value: object):
    assert parse_yaml(text, where="r.yaml") == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3\n", "r.yaml line 3: the key 'a' appears twice"),
        ("a: [1\nb: 2", "r.yaml line 2: is not valid YAML"),
        ("a: &x [*x]", "an alias refers to itself"),
        ("a: !!python/object:os.system x", "r.yaml"),
        ("? [1]\n: 2", "r.yaml line 1: a key is not a text"),
        (MANY_ALIASES, "too large with its aliases"),
    ],
    ids=["double key", "open list", "endless alias", "tag", "key", "many aliases"],
)  # fmt: skip
def test_what_json_could_not_say_is_refused_with_its_place(text: str, sentence: str):
    if "python" in text:
        assert parse_yaml(text, where="r.yaml") == {"a": "x"}, "a tag makes nothing"
        return
    with pytest.raises(InvalidInput, match=sentence.replace("[", r"\[")):
        parse_yaml(text, where="r.yaml")


def test_which_points_a_level_gives_is_open_until_it_is_said(tmp_path: Path):
    path = rubric_file(tmp_path)
    found = {points: scheme_from_options(str(path), None, points) for points in (None, "lowest", "middle", "highest")}
    assert [scheme.leaves_points_open for scheme in found.values() if scheme] == [True, False, False, False]
    best = {points: [w.split(" points")[0] for w in scheme.warnings] for points, scheme in found.items() if scheme}
    assert best == {
        None: ["the best levels give 18 of 20"],
        "lowest": ["the best levels give 18 of 20"],
        "middle": ["the best levels give 18 of 20"],
        "highest": [],
    }
    said = rubric_file(tmp_path, RUBRIC.replace("max_points: 10", "max_points: 10\n    points_strategy: max", 1))
    half = scheme_from_options(str(said), None, "lowest")
    assert half is not None
    assert [each["points_strategy"] for each in half.context["criteria"]] == ["max", "min"]  # type: ignore[attr-defined]
