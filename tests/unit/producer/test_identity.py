"""Prompts that name a student are found before they are sent, and pseudonyms stand for names until the answer comes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from producer import Item, search_names
from producer.inputs import InputOptions, RejectedInput, check_items
from producer.inputs.class_list import ClassList
from producer.inputs.identity import searched
from producer.inputs.templates import Template
from workers.contract.errors import InvalidInput
from workers.contract.flag import FlagKind
from workers.contract.identity import IdentityRule, pseudonym_of, with_names
from workers.contract.job import JobParameters, JobSpec
from workers.contract.schemes.fence import Fence

if TYPE_CHECKING:
    from pathlib import Path

    from producer.inputs import CheckedInput

FENCE = Fence("0123456789abcdef" * 2)


def class_list() -> ClassList:
    people = ClassList()
    people.add("s1234567", {"name": "Marie Skłodowska Curie", "email": "mcurie7@example.edu"})
    people.add("ada_lovelace", {})
    people.add("12345", {"name": "curiepierre", "canvas_id": "12345"})
    people.add("merge_sort", {"user": "noether"})
    people.add("s7", {"name": "王小明", "members": ["Max Min"]})
    return people


def named(text: str, *, own: str = "s1234567") -> list[str]:
    return [text[each.start : each.end] for each in class_list().mentions(text, own=own)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# Marie Skłodowska Curie", ["Marie Skłodowska Curie"]),
        ("# with marie curie, 2026", ["marie curie"]),
        ("# CURIE, Marie", ["CURIE, Marie"]),
        ("marie_curie = 1", ["marie_curie"]),
        ("class MarieCurie: ...", ["MarieCurie"]),
        ("# mcurie7@example.edu or mcurie7", ["mcurie7@example.edu", "mcurie7"]),
        ("# id: S1234567.", ["S1234567"]),
        ("# Ada Lovelace helped", ["Ada Lovelace"]),
        ("# Pierre Curie", ["Pierre Curie"]),
        ("# 我是王小明。", ["王小明"]),
        ("# Author: Marie", ["Marie"]),
        ("# written by: curie", ["curie"]),
        ("# I thank Max Min", ["Max Min"]),
    ],
)
def test_a_name_is_found_however_it_is_written(text: str, found: list[str]):
    assert named(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "def ada_lovelace(): ...",
        "def merge_sort(items): return merge_sort(items)",
        "max(min(12345, 100000), s7)",
        "marie = curie",
        "# sorted by max",
        "# Marie\nCurie",
        "s12345678 xs1234567",
        "# by noether",
    ],
)
def test_what_is_an_ordinary_word_of_programs_is_no_name(text: str):
    assert named(text) == []


def test_a_single_word_is_a_name_in_its_owners_work_alone():
    assert named("# by noether", own="merge_sort") == ["noether"]


def spec(work: str, *, label: str = "code") -> JobSpec:
    return JobSpec(id="s1234567", prompt=FENCE.around(label, work), schema="feedback", model="m", instructions="grade")


def test_a_prompt_that_names_a_student_is_flagged_with_its_line_and_without_the_name():
    [flag] = searched(spec("x = 1\n# Marie Curie"), class_list(), IdentityRule.WARN, fence=FENCE).flags
    assert (flag.kind, flag.path, flag.message) == (
        FlagKind.IDENTITY_IN_PROMPT, "line 2", "a passage names a student: name",
    )  # fmt: skip


@pytest.mark.parametrize("label", ["id", "Name", "E-mail", "First name"])
def test_a_column_that_says_whose_it_is_is_found_whatever_it_holds(label: str):
    found = searched(spec("7", label=label), class_list(), IdentityRule.REPLACE, fence=FENCE)
    assert list(found.pseudonyms.values()) == ["7"]
    assert "\n7\n" not in found.prompt


def test_a_pseudonym_is_one_word_the_same_everywhere_and_comes_back_as_the_name():
    first = searched(spec("# Marie Curie\nprint('Marie Curie')"), class_list(), IdentityRule.REPLACE, fence=FENCE)
    second = searched(spec("# Curie, Marie: s1234567"), class_list(), IdentityRule.REPLACE, fence=FENCE)
    [pseudonym] = first.pseudonyms
    assert first.prompt.count(pseudonym) == 2
    assert "Curie" not in first.prompt + second.prompt
    assert first.flags == ()
    assert list(second.pseudonyms) == [pseudonym, f"{pseudonym}id"]
    quoted = json.dumps({"evidence": f"# {pseudonym.upper()}: {pseudonym}id", "other": f"x{pseudonym}"})
    assert json.loads(with_names(quoted, second.pseudonyms)) == {
        "evidence": "# Curie, Marie: s1234567", "other": f"x{pseudonym}",
    }  # fmt: skip
    assert pseudonym != pseudonym_of("s1234567", "name", key="another batch")


ROWS: list[dict[str, Any]] = [
    {"id": "s100231", "code": "# with Grace Hopper\nprint(1)", "metadata": {"name": "Alan Turing"}},
    {"id": "s100232", "code": "print(1)"},
]


def checked(
    folder: Path, rule: IdentityRule, *, template: str = "Grade {code}", roster: str | None = None
) -> CheckedInput:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    if roster is not None:
        (folder / "roster.csv").write_text(roster)
    return check_items(
        path,
        template=Template.parse(template),
        schema="feedback",
        model="m",
        parameters=JobParameters(),
        identity=rule,
        options=InputOptions(roster=None if roster is None else folder / "roster.csv"),
    )


def test_who_stands_on_the_roster_is_found_although_nothing_was_handed_in(tmp_path: Path):
    assert checked(tmp_path, IdentityRule.WARN).notes == ()
    found = checked(tmp_path, IdentityRule.WARN, roster="Student ID,Name\n100299,Grace Hopper\n")
    assert found.notes[0] == "s100231: line 1: a passage names a student: name"
    assert found.notes[-1].startswith("it is sent as it is and flagged")
    assert [len(spec.flags) for spec in found.specs()] == [1, 0]


def test_replacing_changes_the_prompts_and_not_the_digest_and_needs_no_second_look(tmp_path: Path):
    roster = "Student ID,Name\n100299,Grace Hopper\n"
    plain = checked(tmp_path, IdentityRule.WARN, roster=roster)
    found = checked(tmp_path, IdentityRule.REPLACE, roster=roster)
    assert found.sha256 == plain.sha256
    first, again = list(found.specs(FENCE)), list(found.specs(FENCE))
    assert first == again
    assert list(first[0].pseudonyms.values()) == ["Grace Hopper"]
    assert "Grace" not in first[0].prompt
    assert first[1].pseudonyms == {}
    assert found.notes == ("1 prompt names a student; pseudonyms are sent instead",)


def test_refusing_names_every_row_and_enqueues_nothing(tmp_path: Path):
    with pytest.raises(RejectedInput) as refused:
        checked(tmp_path, IdentityRule.REFUSE, template="Grade {code} of {id}")
    assert [line.split(":")[0] for line in refused.value.problems[:2]] == ["s100231", "s100232"]
    assert "--identity replace" in refused.value.problems[-1]


def test_a_program_searches_its_own_prompts_by_id_and_metadata():
    items = [
        Item("s100231", "by Ada Lovelace, not s100232", {"name": "Ada Lovelace"}),
        Item("s100232", "print(1)"),
    ]
    first, second = search_names(items, identity="replace", schema="feedback", model="m")
    assert sorted(first.pseudonyms.values()) == ["Ada Lovelace", "s100232"]
    assert second.pseudonyms == {}
    [flagged, plain] = search_names(items, schema="feedback", model="m")
    assert (len(flagged.flags), len(plain.flags)) == (1, 0)
    with pytest.raises(InvalidInput, match="choose from warn, replace, refuse"):
        search_names(items, identity="hide", schema="feedback", model="m")
    with pytest.raises(InvalidInput, match="'s100231' names a student"):
        search_names(items, identity="refuse", schema="feedback", model="m")
