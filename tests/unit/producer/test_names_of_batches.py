"""No door into a batch leaves the search for names out: programs, late hand-ins, whole prompts, regrades."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from producer import Item, JobClient, search_names
from producer.cli.commands import cli
from producer.inputs.fence_of_batch import refuse_another_mark
from producer.inputs.names_of_batch import NameSearch
from producer.inputs.templates import Template
from producer.regrading.change import Change
from producer.regrading.regrade import regrade
from producer.regrading.repeats import repeat
from producer.terminal.words import enqueued
from workers.contract.errors import InvalidInput
from workers.contract.flag import FlagKind
from workers.contract.identity import pseudonym_of
from workers.contract.origin import BatchOrigin
from workers.contract.registry import builtin_registry
from workers.store import Store
from workers.store.tables import jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.store.stored_jobs import StoredJob

ITEMS = [
    Item("s100231", "print(1)  # with Ada Lovelace", {"name": "Alan Turing"}),
    Item("s100232", "print(2)  # Grace Hopper", {"name": "Ada Lovelace"}),
]
ROSTER = "number,name\n100299,Grace Hopper\n"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    """The commands' own store; their broker is away, which must not matter."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    store = Store.open(url)
    store.migrate()
    yield JobClient(store=store, publisher=None, registry=builtin_registry(), provider="standin")
    store.close()


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    path = tmp_path / "roster.csv"
    path.write_text(ROSTER)
    return path


def enqueue(client: JobClient, items: list[Item] = ITEMS, **how: Any) -> tuple[int, int]:
    report = client.enqueue(items, name="week", schema="feedback", model="m", **how)
    return report.new, report.existing


def jobs_of(client: JobClient, name: str = "week") -> dict[str, StoredJob]:
    return {job.id: job for job in client.batch(name).jobs()}


def names_in(job: StoredJob) -> set[str]:
    """Whose names pseudonyms stand for; each of those is in the prompt, and no name is."""
    assert all(pseudonym in (job.prompt or "") for pseudonym in job.pseudonyms)
    assert not any(name in (job.prompt or "") for name in ("Lovelace", "Hopper", "Turing"))
    return set(job.pseudonyms.values())


def test_a_program_names_rule_and_roster_where_it_enqueues(client: JobClient, roster: Path):
    assert enqueue(client, identity="replace", roster=roster) == (2, 0)
    assert [names_in(job) for job in jobs_of(client).values()] == [{"Ada Lovelace"}, {"Grace Hopper"}]
    assert enqueue(client, identity="replace", roster=roster) == (0, 2)


def test_a_rule_given_to_the_client_holds_for_every_batch(client: JobClient, roster: Path):
    told = JobClient(
        store=client.store, publisher=None, registry=builtin_registry(), provider="standin",
        names=NameSearch(identity="replace", roster=roster),
    )  # fmt: skip
    enqueue(told)
    assert [names_in(job) for job in jobs_of(client).values()] == [{"Ada Lovelace"}, {"Grace Hopper"}]


def test_a_roster_alone_flags_and_what_was_flagged_before_is_flagged_once(client: JobClient, roster: Path):
    found = search_names(ITEMS, roster=roster, schema="feedback", model="m")
    client.enqueue(found, name="week", roster=roster)
    flags = [[flag.kind for flag in job.input_flags] for job in jobs_of(client).values()]
    assert flags == [[FlagKind.IDENTITY_IN_PROMPT]] * 2


def test_pseudonyms_of_whole_prompts_do_not_follow_from_the_id(client: JobClient):
    enqueue(client, identity="replace")
    [pseudonym] = jobs_of(client)["s100231"].pseudonyms
    key = client.batch("week").origin().pseudonym_key
    assert pseudonym == pseudonym_of("s100232", "name", key=key)
    assert len(key) == 32


def test_who_joins_a_batch_of_pseudonyms_gets_them_without_a_word_and_the_others_keep_theirs(client: JobClient):
    enqueue(client, identity="replace")
    [pseudonym] = jobs_of(client)["s100231"].pseudonyms
    assert enqueue(client, [Item("s100233", "# helped by Ada Lovelace and Alan Turing")]) == (1, 0)
    late = jobs_of(client)["s100233"]
    assert names_in(late) == {"Ada Lovelace", "Alan Turing"}
    assert pseudonym in late.pseudonyms
    with pytest.raises(InvalidInput, match="'week' sends pseudonyms"):
        enqueue(client, identity="warn")


def test_a_batch_that_was_begun_with_names_gets_no_pseudonyms_that_could_be_guessed(client: JobClient):
    enqueue(client)
    with pytest.raises(InvalidInput, match="begun without pseudonyms"):
        enqueue(client, [Item("s100233", "x")], identity="replace")


@pytest.mark.parametrize(("rule", "says"), [("refuse", "'s100231' names a student"), ("hide", "choose from warn")])
def test_a_refused_prompt_leaves_no_batch(client: JobClient, rule: str, says: str):
    with pytest.raises(InvalidInput, match=says):
        enqueue(client, identity=rule)
    assert client.find_batch("week") is None


def test_two_programs_that_begin_a_batch_at_once_do_not_mix_their_pseudonyms():
    mine, theirs = (BatchOrigin(identity="replace", names_key=key) for key in "ab")
    with pytest.raises(InvalidInput, match="at the same time"):
        refuse_another_mark(mine, name="week", begun=theirs)
    refuse_another_mark(mine, name="week", begun=mine)
    refuse_another_mark(BatchOrigin(), name="week", begun=theirs)


def typed(path: Path, *more: str) -> Result:
    options = ["--schema", "feedback", "--model", "m", "--offline", "--name", "week"]
    return CliRunner().invoke(cli, ["enqueue", str(path), *options, *more])


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_with_whole_prompts_are_searched_for_the_roster_and_the_command_finds_its_jobs_again(
    client: JobClient, tmp_path: Path, roster: Path
):
    rows = written(tmp_path / "rows.jsonl", [{"id": "s1", "prompt": "Grade: # Grace Hopper"}])
    how = ("--identity", "replace", "--roster", str(roster))
    first = typed(rows, *how)
    assert first.exit_code == 0, first.output
    job = jobs_of(client)["s1"]
    assert names_in(job) == {"Grace Hopper"}
    assert pseudonym_of("100299", "name", key="") not in job.pseudonyms
    assert enqueued(0, 1) in typed(rows, *how).output


@pytest.mark.parametrize("template", [None, "Grade {prompt}"])
def test_a_late_hand_in_is_searched_for_those_who_handed_in_before(
    client: JobClient, tmp_path: Path, template: str | None
):
    how = ["--identity", "replace"]
    if template is not None:
        (tmp_path / "template.md").write_text(template)
        how += ["--template", str(tmp_path / "template.md")]
    first = [{"id": "s1", "prompt": "x", "metadata": {"name": "Ada Lovelace"}}]
    assert typed(written(tmp_path / "first.jsonl", first), *how).exit_code == 0
    late = written(tmp_path / "late.jsonl", [{"id": "s2", "prompt": "# Ada Lovelace"}])
    refused = typed(late, *how[2:])
    assert "sends pseudonyms" in refused.output
    assert typed(late, *how).exit_code == 0
    assert names_in(jobs_of(client)["s2"]) == {"Ada Lovelace"}


def begun_with_pseudonyms(client: JobClient, tmp_path: Path, roster: Path) -> str:
    """One job whose prompt has a pseudonym for Ada Lovelace; returns it."""
    (tmp_path / "template.md").write_text("Grade:\n{work}\n")
    rows = [
        {"id": "s1", "work": "x  # Ada Lovelace", "metadata": {"name": "Alan Turing"}},
        {"id": "s2", "work": "y", "metadata": {"name": "Ada Lovelace"}},
    ]
    path = written(tmp_path / "rows.jsonl", rows)
    done = typed(path, "--template", str(tmp_path / "template.md"), "--identity", "replace", "--roster", str(roster))
    assert done.exit_code == 0, done.output
    [pseudonym] = jobs_of(client)["s1"].pseudonyms
    return pseudonym


def test_a_template_of_a_regrade_that_brings_names_in_brings_pseudonyms(
    client: JobClient, tmp_path: Path, roster: Path
):
    pseudonym = begun_with_pseudonyms(client, tmp_path, roster)
    template = Template.parse("Grade {metadata.name}:\n{work}\n", name="new")
    for _ in range(2):
        regrade(client, "week", Change(template=template), name="again")
    first, second = jobs_of(client, "again").values()
    assert names_in(first) == {"Alan Turing", "Ada Lovelace"}
    assert list(second.pseudonyms) == [pseudonym]
    regrade(client, "again", Change(model="n"), name="once more")
    assert jobs_of(client, "once more")["s2"].pseudonyms == second.pseudonyms


def test_a_regrade_of_an_input_searches_for_the_whole_batch_and_its_roster(
    client: JobClient, tmp_path: Path, roster: Path
):
    pseudonym = begun_with_pseudonyms(client, tmp_path, roster)
    rows = [{"id": "s1", "work": "# Ada Lovelace, Alan Turing, Grace Hopper"}, {"id": "s2", "work": "y"}]
    again = Change(model="n", input_path=written(tmp_path / "again.jsonl", rows))
    regrade(client, "week", again, name="again")
    first = jobs_of(client, "again")["s1"]
    assert names_in(first) == {"Ada Lovelace", "Alan Turing", "Grace Hopper"}
    assert pseudonym in first.pseudonyms
    roster.unlink()
    with pytest.raises(InvalidInput, match=r"class list of 'week' is no longer at .* --roster"):
        regrade(client, "week", again, name="third")
    (tmp_path / "moved.csv").write_text(ROSTER)
    regrade(client, "week", replace(again, roster=tmp_path / "moved.csv"), name="third")
    assert names_in(jobs_of(client, "third")["s1"]) == names_in(first)


def test_a_repeat_puts_the_names_back_like_the_batch_that_it_repeats(client: JobClient):
    enqueue(client, identity="replace")
    with client.store.transaction() as connection:
        for row in connection.execute(jobs.select()).all():
            graded = {"job_id": row.id, "round": 1, "batch_id": row.batch_id, "claim": 0, "finished_at": 0.0}
            connection.execute(outcomes.insert().values(**graded, result='{"score": 1}', is_standin=True))
        connection.execute(jobs.update().values(state="succeeded"))
    repeat(client, "week", repeats=1, sample=2)
    again, before = jobs_of(client, "week-repeat-1"), jobs_of(client)
    assert {each: job.pseudonyms for each, job in again.items()} == {
        each: job.pseudonyms for each, job in before.items()
    }
