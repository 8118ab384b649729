"""`--price`: what a person writes, and where it arrives."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy import select

from producer import JobClient
from producer.batch import Batch
from producer.cli.commands import cli
from producer.inputs.kits.kit import load_kit
from producer.terminal.tables import summary_table
from tests.support.nights import entry, utc
from workers.contract.errors import InvalidInput
from workers.contract.job import JobSpec
from workers.contract.lane_choice import PriceWish
from workers.settings import Settings
from workers.store import Store
from workers.store.lanes.times import note_refusal
from workers.store.tables import jobs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def client(store: Store) -> JobClient:
    return JobClient.connect(Settings(database_url=store.engine.url.render_as_string(hide_password=False)))


def enqueue(client: JobClient, count: int = 3, **options: object) -> None:
    specs = [JobSpec(id=str(each), prompt=f"p {each}", schema="feedback", model="gpt-6-luna") for each in range(count)]
    client.enqueue(specs, name="b", starts_carefully=False, **options)


def test_a_price_lets_the_jobs_wait_and_status_says_so(client: JobClient):
    enqueue(client, price="lowest")
    progress = Batch(client.store, "b").progress()
    assert [(str(each.lane), each.waiting) for each in progress.lanes] == [("batch", 3)]
    assert progress.deferred == 0  # nothing is rate-limited
    assert "3 wait for a cheaper lane" in progress.waiting_for
    shown = io.StringIO()
    Console(file=shown, width=100).print(summary_table(progress))
    assert "3 to be handed over" in shown.getvalue()


def test_without_a_price_everything_is_live(client: JobClient):
    enqueue(client)
    with client.store.snapshot() as connection:
        assert set(connection.execute(select(jobs.c.lane)).scalars()) == {None}
    assert Batch(client.store, "b").progress().lanes == ()


def test_an_unknown_price_is_refused_before_anything_is_written(client: JobClient):
    with pytest.raises(InvalidInput, match="lowest, balanced, live"):
        enqueue(client, price="cheap")
    assert client.find_batch("b") is None


@pytest.mark.parametrize(
    ("by", "due", "ends"),
    [("07:30", "2026-11-23T01:30", "2026-11-23T06:30"), ("01:00", "2026-11-23T01:30", "2026-11-24T00:00")],
)
def test_a_night_ends_at_its_time_of_the_same_or_the_next_day(by: str, due: str, ends: str):
    assert entry(by=by, price="lowest").ends(utc(due)) == utc(ends)
    assert entry(price="lowest").price is PriceWish.LOWEST
    assert entry().ends(utc(due)) is None


def test_a_night_with_an_unknown_price_is_refused():
    with pytest.raises(ValidationError):
        entry(price="cheap")


def test_a_kit_says_price_and_deadline_and_an_option_wins(tmp_path: Path):
    (tmp_path / "kit.toml").write_text('price = "lowest"\ndeadline = "12h"\n')
    kit = load_kit(tmp_path)
    assert (kit.options["price"], kit.options["deadline"]) == ("lowest", "12h")
    assert kit.completed({"price": "live", "deadline": None})["price"] == "live"


def test_the_command_line_takes_a_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    (tmp_path / "in.jsonl").write_text('{"id": "a", "prompt": "p"}\n')
    asked = ["enqueue", str(tmp_path / "in.jsonl"), "--schema", "feedback", "--model", "gpt-6-luna", "--name", "b"]
    done = CliRunner().invoke(cli, [*asked, "--price", "lowest"])
    assert done.exit_code == 0, done.output
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    with store.snapshot() as connection:
        assert list(connection.execute(select(jobs.c.lane)).scalars()) == ["batch"]
    store.run(lambda connection: note_refusal(connection, "api.openai.com", "batch", "", "not served"))  # type: ignore[arg-type]
    store.close()
    assert "api.openai.com offers no batch lane" in CliRunner().invoke(cli, ["status"]).output
