"""`gradequeue regrade` and `gradequeue drift` as they are typed."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert, select, update

from producer.cli.commands import cli
from producer.client import Item, JobClient
from tests.support.stores import new_store
from workers.contract.registry import builtin_registry
from workers.store.tables import batches, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    """The commands' own store; their broker is away, which must not matter."""
    file = tmp_path / "store.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "300")
    store = new_store(file)
    yield JobClient(store=store, publisher=None, registry=builtin_registry(), provider="standin")
    store.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def grade(client: JobClient, batch: str, results: dict[str, str]) -> None:
    """A worker's part."""
    with client.store.transaction() as connection:
        rows = connection.execute(select(jobs).join(batches).where(batches.c.name == batch)).all()
        for row in rows:
            connection.execute(
                insert(outcomes).values(
                    job_id=row.id, round=row.round, batch_id=row.batch_id, claim=0, finished_at=0.0,
                    result=results[row.item_id], is_standin=True,
                )
            )  # fmt: skip
            connection.execute(update(jobs).where(jobs.c.id == row.id).values(state="succeeded"))


def test_a_regrade_and_what_moved(client: JobClient, tmp_path: Path):
    client.enqueue([Item("anna", "x"), Item("=ben", "y")], name="week[1]", schema="feedback", model="old")
    style = '"criteria": [{"criterion_id": "style", "points": 1}]'
    grade(
        client,
        "week[1]",
        {"anna": '{"score": 70, "summary": "[b]so[/b]", ' + style + "}", "=ben": '{"score": 50, "summary": "-"}'},
    )

    first = run("regrade", "week[1]", "--model", "new", "--name", "again", "--offline")
    second = run("regrade", "week[1]", "--model", "new", "--name", "again", "--offline")
    grade(
        client,
        "again",
        {"anna": '{"score": 76, "summary": "[b]so[/b]", ' + style + "}", "=ben": '{"score": 50, "summary": "=1"}'},
    )
    file = tmp_path / "changes.csv"
    drift = run("drift", "week[1]", "again", "--out", str(file))

    assert (first.exit_code, second.exit_code, drift.exit_code) == (0, 0, 0), first.output + drift.output
    assert "batch again: 2 new;" in first.output
    assert "batch again: 0 new, 2 already enqueued: nothing is graded or paid for again" in second.output
    assert "anna: 70 -> 76" in drift.output
    assert "1 of 2" in drift.output
    assert "+3" in drift.output
    assert "2 compared, 0 of them unchanged in every field" in drift.output
    assert "criteria[style].points" in drift.output, "brackets are text, not Rich's marks"
    assert "not real" in drift.output
    rows = list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))
    assert rows == [
        {"id": "anna", "field": "score", "old": "70", "new": "76", "difference": "6"},
        {"id": "'=ben", "field": "summary", "old": "'-", "new": "'=1", "difference": ""},
    ]


def test_a_tiny_amount_keeps_its_exponent(client: JobClient):
    for name, score in (("first", "0"), ("second", "1.23456e-07")):
        client.enqueue([Item("anna", "x")], name=name, schema="feedback", model="m")
        grade(client, name, {"anna": f'{{"score": {score}}}'})

    drift = run("drift", "first", "second")

    assert drift.exit_code == 0, drift.output
    assert "1.235e-07" in drift.output


def test_wrong_use_is_said_and_changes_nothing(client: JobClient):
    assert run("regrade", "absent", "--model", "new", "--offline").exit_code == 2
    client.enqueue([Item("anna", "x")], name="week", schema="feedback", model="old")
    nothing = run("regrade", "week", "--offline")

    assert nothing.exit_code == 2
    assert [each.name for each in client.batches()] == ["week"]
    assert run("drift", "week", "absent").exit_code == 2


def test_another_provider_is_said_before_it_is_asked(client: JobClient, monkeypatch: pytest.MonkeyPatch):
    client.enqueue([Item("anna", "x")], name="week", schema="feedback", model="old")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://other.example/v1")

    done = run("regrade", "week", "--model", "new", "--name", "again")

    assert done.exit_code == 0, done.output
    assert [each.provider for each in client.batches() if each.name == "again"] == ["other.example:80"]


def test_an_encoding_without_an_input_is_refused(client: JobClient):
    client.enqueue([Item("anna", "x")], name="week1", schema="feedback", model="old")

    done = run("regrade", "week1", "--encoding", "cp1252", "--model", "new", "--offline")

    assert done.exit_code == 2
    assert "--encoding is of the files of --input" in done.output
    with client.store.snapshot() as connection:
        assert connection.execute(select(batches.c.name)).scalars().all() == ["week1"]


def test_a_regrade_takes_a_moment_of_its_own_and_says_what_would_be_late(
    client: JobClient, monkeypatch: pytest.MonkeyPatch
):
    moment = datetime(2998, 1, 1, tzinfo=UTC)
    client.enqueue([Item("anna", "x")], name="week", schema="feedback", model="old", by=moment)
    grade(client, "week", {"anna": '{"score": 70, "summary": "-"}'})
    run("regrade", "week", "--model", "new", "--name", "without", "--offline")
    assert [job.parameters.deadline_at for job in client.batch("without").jobs()] == [None]

    monkeypatch.setenv("GRADEQUEUE_RPM", "1")
    done = run("regrade", "week", "--model", "newer", "--name", "again", "--offline", "--by", "2999-01-01T08:00Z")
    assert "1 job for newer: the last is expected to start" in done.stderr
    [job] = client.batch("again").jobs()
    assert job.parameters.deadline_at == datetime(2999, 1, 1, 8, tzinfo=UTC).timestamp()

    refused = run("regrade", "week", "--model", "last", "--offline", "--by", "tomorrow")
    assert refused.exit_code == 2
    assert "--by" in refused.stderr
