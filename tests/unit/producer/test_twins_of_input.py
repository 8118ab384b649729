"""Which rows of an input are twins: by what the students wrote, not by how their editors end lines."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from producer.client import Item, JobClient
from producer.inputs import InputOptions, check_items
from producer.inputs.templates import Template, keep_template
from producer.regrading.change import Change
from producer.regrading.regrade import regrade
from tests.support.stores import new_store
from workers.contract.flag import Flag, FlagKind
from workers.contract.identity import IdentityRule
from workers.contract.job import JobParameters
from workers.contract.origin import PARTS, BatchOrigin
from workers.contract.registry import builtin_registry
from workers.contract.schemes.fence import Fence
from workers.contract.twins import TwinRule, twin_key
from workers.store.results import read_results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = "def f(x):\n    return x\n"
SAME = ("def f(x):\r\n    return x\r\n", "def f(x):   \n    return x", "def f(x):\n    return x\n\n \n")
NEARLY = ("def f(x):  # mine\n    return x\n", "def f( x ):\n  return (x)\n")
OTHER = ("def f(y):\n    return y\n", "def f(x):\n\n    return x + 0\n")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[JobClient]:
    store = new_store(tmp_path / "store.db")
    yield JobClient(store=store, publisher=None, registry=builtin_registry(), provider="standin")
    store.close()


def keys(tmp_path: Path, works: tuple[str, ...], *, rule: TwinRule = TwinRule.EXACT, fenced: bool = False) -> list[str]:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"id": f"s{n}", "work": work}) + "\n" for n, work in enumerate(works)))
    checked = check_items(
        path,
        template=Template.parse("Grade:\n{work}\nBriefly.\n", name="t"),
        schema="feedback",
        model="m",
        parameters=JobParameters(),
        section="# Rubric" if fenced else None,
        twins=rule,
    )
    return [twin_key(spec, schema_fingerprint="f", context_hash=None) for spec in checked.specs(Fence.draw())]


@pytest.mark.parametrize("fenced", [False, True])
def test_line_ends_and_trailing_white_space_do_not_make_another_work(tmp_path: Path, *, fenced: bool):
    assert len(set(keys(tmp_path, (PROGRAM, *SAME), fenced=fenced))) == 1
    assert len(set(keys(tmp_path, (PROGRAM, *NEARLY, *OTHER), fenced=fenced))) == 5


def test_near_twins_differ_in_comments_and_formatting_alone(tmp_path: Path):
    assert len(set(keys(tmp_path, (PROGRAM, *SAME, *NEARLY), rule=TwinRule.NEAR))) == 1
    assert len(set(keys(tmp_path, (PROGRAM, *OTHER, "def f(:", "def f(: "), rule=TwinRule.NEAR))) == 4


@pytest.mark.parametrize("hostile", ["(" * 5000, "x" + "+x" * 50_000, "\\\n" * 100, "'''", "\x0c", "print 'a\\d'"])
def test_work_that_is_no_program_is_compared_as_text(hostile: str):
    assert TwinRule.NEAR.normal(hostile) == TwinRule.NEAR.normal(hostile + "  \n")


def states(client: JobClient, batch: str) -> list[str]:
    with client.store.snapshot() as connection:
        return [row.state for row in read_results(connection, batch)]


def test_equal_prompts_are_twins_unless_parameters_differ_or_nobody_wants_them(client: JobClient):
    items = [Item("a", "x"), Item("b", "x"), Item("c", "y")]
    client.enqueue(items, name="on", schema="feedback", model="m")
    client.enqueue(items, name="off", schema="feedback", model="m", twins=False)
    assert states(client, "on") == ["ready", "following", "ready"]
    assert states(client, "off") == ["ready"] * 3
    client.enqueue([Item("d", "x")], name="on", schema="feedback", model="m", params=JobParameters(max_tokens=9))
    assert states(client, "on") == ["ready", "following", "ready", "ready"]


@pytest.mark.parametrize("rule", [None, "off"])
def test_a_regrade_knows_the_twins_of_the_batch(client: JobClient, rule: str | None):
    items = [Item("a", "x"), Item("b", "x")]
    client.enqueue(items, name="week", schema="feedback", model="m", origin=BatchOrigin(twins=rule))
    regrade(client, "week", Change(model="n"), name="again")
    assert states(client, "again") == ["ready", "ready" if rule else "following"]
    assert client.batch("again").origin().twins == rule


@pytest.mark.parametrize(
    "change", [Change(model="n"), Change(template=Template.parse("Be strict:\n{work}\n", name="new"))]
)
def test_a_regrade_of_an_input_keeps_twins_pseudonyms_and_flags_of_the_input(
    client: JobClient, tmp_path: Path, change: Change
):
    by_her = "# Grace Hopper\nprint(1)"
    works = {"s100231": f"{by_her}\n", "s100232": f"{by_her}  \n\n\n", "s100233": "print(2)\n"}
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"id": each, "work": work}) + "\n" for each, work in works.items()))
    template = Template.parse("Grade:\n{work}\n", name="t")
    (tmp_path / "roster.csv").write_text("number,name\n100299,Grace Hopper\n")
    checked = check_items(
        path,
        template=template,
        schema="feedback",
        model="m",
        parameters=JobParameters(counterfactual=True),
        identity=IdentityRule.REPLACE,
        options=InputOptions(roster=tmp_path / "roster.csv"),
    )
    fence = client.fence("week")
    flag = Flag(kind=FlagKind.PARTS_MISSING, message="1 not read: a picture")
    specs = [replace(spec, flags=(flag,)) for spec in checked.specs(fence)]
    origin = keep_template(BatchOrigin(fence=fence.mark, prompt_layout=PARTS), template, checked.template_fields)
    client.enqueue(specs, name="week", origin=origin)
    assert states(client, "week") == ["ready", "following", "ready"]

    regrade(client, "week", change, name="again")
    assert states(client, "again") == ["ready", "following", "ready"]
    jobs = list(client.batch("again").jobs())
    assert [set(job.pseudonyms.values()) for job in jobs] == [{"Grace Hopper"}, {"Grace Hopper"}, set()]
    assert all(pseudonym in (job.prompt or "") for job in jobs for pseudonym in job.pseudonyms)
    assert [job.input_flags for job in jobs] == [(flag,)] * 3
    assert all(job.parameters.counterfactual for job in jobs)
