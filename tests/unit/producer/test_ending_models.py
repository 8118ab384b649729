"""Whoever is about to ask a model that ends hears of it, wherever the model is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, update

from producer.cli.commands import cli
from producer.client import Item, JobClient
from producer.local.doctor import service_findings
from producer.local.embedded import Services
from workers.contract.job import JobParameters
from workers.contract.registry import builtin_registry
from workers.settings import load_settings
from workers.store import Store
from workers.store.tables import batches, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IN_A_MONTH = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
ENDING = (
    "of-row",
    "of-row-fallback",
    "of-kit",
    "of-kit-fallback",
    "of-setting",
    "of-night",
    "of-job",
    "of-job-fallback",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a file of the user's own that says which models end."""
    profiles = {name: {"shutdown_on": IN_A_MONTH, "replacement": "next"} for name in ENDING}
    (tmp_path / "models.json").write_text(json.dumps({"models": profiles}))
    monkeypatch.setenv("GRADEQUEUE_MODEL_PROFILES", str(tmp_path / "models.json"))
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GRADEQUEUE_OFFLINE", "1")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")  # away, which must not matter
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[JobClient]:
    store = Store.open(f"sqlite:///{folder / 'store.db'}")
    store.migrate()
    yield JobClient(store=store, publisher=None, registry=builtin_registry(), provider="standin")
    store.close()


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def notice(model: str) -> str:
    return f"{model} shuts down on {IN_A_MONTH}, in 30 days; the provider names next in its place"


def fail_every_job(client: JobClient, batch: str) -> None:
    """A worker's part."""
    with client.store.transaction() as connection:
        batch_id = connection.execute(batches.select().where(batches.c.name == batch)).one().id
        for row in connection.execute(jobs.select().where(jobs.c.batch_id == batch_id)).all():
            connection.execute(
                insert(outcomes).values(
                    job_id=row.id, round=row.round, batch_id=batch_id, claim=0, finished_at=0.0, is_standin=True,
                    failure_kind="truncated", failure_message="cut off",
                )
            )  # fmt: skip
            connection.execute(update(jobs).where(jobs.c.id == row.id).values(state="failed"))


def written_rows(folder: Path) -> Path:
    rows = [
        {"id": "anna", "prompt": "x", "model": "of-row"},
        {"id": "ben", "prompt": "y", "fallback_model": "of-row-fallback"},
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def written_kit(folder: Path, name: str = "week3") -> Path:
    kit = folder / "kits" / name
    kit.mkdir(parents=True)
    (kit / "kit.toml").write_text('model = "of-kit"\nfallback_model = "of-kit-fallback"\nschema = "feedback"\n')
    (kit / "template.md").write_text("Grade this: {submission}")
    return kit


@pytest.mark.parametrize("command", ["estimate", "enqueue"])
def test_models_that_only_rows_name_are_said_before_anything_is_asked(folder: Path, command: str):
    said = printed(command, str(written_rows(folder)), "--schema", "feedback", "--model", "lasting")
    assert notice("of-row") in said
    assert notice("of-row-fallback") in said


def test_a_model_that_no_row_asks_is_not_said(folder: Path):
    path = folder / "rows.jsonl"
    path.write_text(json.dumps({"id": "anna", "prompt": "x", "model": "lasting"}))
    assert "shuts down" not in printed("estimate", str(path), "--schema", "feedback", "--model", "of-row")


def test_models_of_a_kit_are_said(folder: Path):
    path = folder / "rows.jsonl"
    path.write_text(json.dumps({"id": "anna", "submission": "x"}))
    said = printed("estimate", str(path), "--kit", str(written_kit(folder)))
    assert notice("of-kit") in said
    assert notice("of-kit-fallback") in said


def test_another_grading_of_a_batch_says_which_of_its_models_end(client: JobClient):
    fallback = JobParameters(fallback_model="of-job-fallback")
    client.enqueue([Item("anna", "x")], name="b", schema="feedback", model="of-job", params=fallback)
    regraded = printed("regrade", "b", "--model", "of-row", "--name", "again")
    assert notice("of-row") in regraded
    assert notice("of-job-fallback") in regraded, "jobs keep the model they fall back to"
    assert notice("of-job") not in regraded, "nothing of the new batch asks it"

    fail_every_job(client, "b")
    assert notice("of-job") in printed("retry", "b")
    fail_every_job(client, "again")
    assert notice("of-setting") in printed("retry", "again", "--model", "of-setting")


def test_doctor_looks_at_every_model_that_this_set_up_names(
    folder: Path, client: JobClient, monkeypatch: pytest.MonkeyPatch
):
    fallback = JobParameters(fallback_model="of-job-fallback")
    client.enqueue([Item("anna", "x")], name="b", schema="feedback", model="of-job", params=fallback)
    client.enqueue([Item("anna", "x")], name="ended", schema="feedback", model="of-row")
    fail_every_job(client, "ended")
    (folder / "nights.toml").write_text('[[nightly]]\nname = "n"\nat = "02:30"\nbatches = ["*"]\nmodel = "of-night"\n')
    written_kit(folder)
    (folder / "kits" / "broken").mkdir()
    (folder / "kits" / "broken" / "kit.toml").write_text("model = 3")
    monkeypatch.setenv("GRADEQUEUE_NIGHTLY", str(folder / "nights.toml"))
    monkeypatch.setenv("GRADEQUEUE_KITS", str(folder / "kits"))

    settings = load_settings(model="of-setting")
    services = Services("redis://127.0.0.1:1/0", str(settings.database_url), None)
    found = [each for each in service_findings(settings, services) if each.subject.startswith("model")]

    said = {each.subject.removeprefix("model "): (each.value, each.source) for each in found}
    assert said == {
        "of-setting": (notice("of-setting"), "GRADEQUEUE_MODEL"),
        "of-kit": (notice("of-kit"), "kit week3"),
        "of-kit-fallback": (notice("of-kit-fallback"), "kit week3"),
        "of-night": (notice("of-night"), "nightly entry n"),
        "of-job": (notice("of-job"), "waiting jobs of b"),
        "of-job-fallback": (notice("of-job-fallback"), "waiting jobs of b"),
        "models": ("broken/kit.toml model: must be text; write it in quotes", "kit broken"),
    }
    assert all(each.is_well is None for each in found), "what ends soon works today"


def test_doctor_looks_at_the_kit_that_is_named(folder: Path):
    settings, kit = load_settings(), written_kit(folder, "week4")
    services = Services("redis://127.0.0.1:1/0", "postgresql://127.0.0.1:9/none", None)
    found = service_findings(settings, services, kit=kit)
    assert [(each.value, each.source) for each in found if each.subject == "model of-kit"] == [
        (notice("of-kit"), "kit week4")
    ]
