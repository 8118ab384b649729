"""The commands of a review, as a person types them."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from producer.batch import Batch
from producer.cli.commands import cli
from producer.cli.session import opened_store
from producer.local.data_folder import DataFolder
from producer.page.tables import csv_file
from tests.store.test_review import REPORT, graded
from tests.support.stores import new_store
from workers.store import Store
from workers.store.tables import jobs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with two gradings of the same work."""
    home = DataFolder.of(tmp_path / "data")
    store = new_store(home.path / "gradequeue.db")
    graded(store, {"ada": REPORT, "bob": None, "eve": REPORT})
    graded(store, {"ada": {**REPORT, "major_errors": [], "total_deduction": 0}}, name="again")
    store.close()
    return home.path


def run(folder: Path, *arguments: str, expect: int = 0, answer: str | None = None) -> str:
    done = CliRunner().invoke(cli, [*arguments, "--data-dir", str(folder)], input=answer)
    assert done.exit_code == expect, done.output
    return done.output


def test_from_the_list_to_the_release(folder: Path):
    listed = [json.loads(line) for line in run(folder, "review", "b", "--json").splitlines()]
    assert [line["id"] for line in listed] == ["bob", "ada", "eve"]
    assert listed[0]["doubt"]["reasons"] == ["failed: refused"]

    assert "2 approved" in run(folder, "approve", "b", "--unflagged", "--by", "Kim")
    assert "1 put on hold" in run(folder, "hold", "b", "eve", "--by", "Lee")
    told = run(folder, "release", "b", "--by", "Kim", expect=1)
    assert "1 released" in told
    assert "left out: eve: it is on hold" in told
    assert "left out: bob: it needs a decision" in told
    assert "1 undecided, 1 approved, 0 overridden, 1 on hold" in run(folder, "review", "b")
    record = [json.loads(line) for line in run(folder, "audit", "b", "--json").splitlines()]
    assert [(entry["by"], entry["action"], entry["item_id"]) for entry in record] == [
        ("Kim", "approve", "ada"), ("Kim", "approve", "eve"), ("Lee", "hold", "eve"), ("Kim", "release", "ada"),
    ]  # fmt: skip


def test_the_results_of_a_batch_hold_the_official_grade_beside_the_models(tmp_path: Path):
    home = DataFolder.of(tmp_path / "data")
    store = new_store(home.path / "gradequeue.db")
    graded(store, {"ada": {"score": 10.0, "band": "B"}, "bob": None, "eve": {"score": 7.5}, "kim": {"score": 3.0}})
    graded(store, {"eve": {"score": 8.5}}, name="again")
    store.close()
    run(home.path, "approve", "b", "ada", "--by", "Kim")
    run(home.path, "apply", "b", "again", "--by", "Lee", "--yes")
    run(home.path, "hold", "b", "kim", "--by", "Lee")

    written = run(home.path, "results", "b", "--format", "csv").splitlines()
    rows = {row["id"]: row for row in csv.DictReader(written)}

    assert written[0].startswith("id,name,points,band,flags,official_points,official_band,grade_state,decided_by,")
    columns = ("points", "official_points", "official_band", "grade_state", "decided_by")
    assert {identity: tuple(row[column] for column in columns) for identity, row in rows.items()} == {
        "ada": ("10.0", "10.0", "B", "approved", "Kim"),
        "bob": ("", "", "", "", ""),
        "eve": ("7.5", "8.5", "", "overridden", "Lee"),
        "kim": ("3.0", "", "", "on_hold", "Lee"),
    }
    assert rows["ada"]["decided_at"].endswith("+00:00")
    with opened_store(home.path) as store:
        assert csv_file(Batch(store, "b")).decode("utf-8-sig").splitlines() == written, "on the page, too"


def test_a_regrade_becomes_official_after_a_question_that_shows_what_moves(folder: Path):
    asked = run(folder, "apply", "b", "again", "--by", "Kim", answer="n\n", expect=1)
    assert "1 grade changes (0 up, 1 down), 0 do not change" in asked
    assert "no decisions yet" in run(folder, "audit", "b")

    assert "1 made official" in run(folder, "apply", "b", "again", "--by", "Kim", "--yes")
    assert "from again" in run(folder, "audit", "b")
    assert "1 undone" in run(folder, "undo", "b", "ada", "--by", "Kim")


def test_undoing_the_last_act_leaves_a_hold_and_undoing_all_asks_before_it_lifts_one(folder: Path):
    run(folder, "hold", "b", "eve", "--by", "Lee")
    told = run(folder, "apply", "b", "again", "--by", "Kim", "--yes")
    assert "take it back: gradequeue undo b --last" in told
    assert "1 undone" in run(folder, "undo", "b", "--last", "--by", "Kim")
    assert "the last act was an undo; nothing was changed" in run(folder, "undo", "b", "--last", "--by", "Kim")
    assert "leave out items" in run(folder, "undo", "b", "ada", "--last", expect=2)
    assert "This lifts 1 hold as well" in run(folder, "undo", "b", "--all", answer="n\n", expect=1)
    assert "1 on hold" in run(folder, "review", "b")
    assert "1 undone" in run(folder, "undo", "b", "--all", "--yes", "--by", "Kim", expect=1)
    assert "0 on hold" in run(folder, "review", "b")


def test_names_are_shown_and_a_name_in_place_of_an_id_leads_to_the_id(folder: Path):
    with opened_store(folder) as store:
        named = update(jobs).where(jobs.c.item_id == "ada").values(metadata={"name": "Ada Lovelace"})
        store.run(lambda connection: connection.execute(named))

    shown = run(folder, "review", "b")
    assert "name" in shown
    assert "Ada" in shown
    assert "next: gradequeue approve b" in shown
    meant = "has no item 'lovelace'; by that name it has ada (Ada Lovelace)"
    for command in (["approve"], ["hold"], ["undo"]):
        assert meant in run(folder, *command, "b", "lovelace", expect=2)
    assert meant in run(folder, "override", "b", "lovelace", "--points", "3", "--reason", "r", expect=2)
    assert "has no ended item 'nobody'" in run(folder, "approve", "b", "nobody", expect=1)


def test_each_step_of_a_review_names_the_next(folder: Path):
    to_gradebook = "gradequeue gradebook b --for csv"
    assert to_gradebook in run(folder, "approve", "b", "--unflagged")
    assert "next: gradequeue failures b" in run(folder, "review", "b"), "bob has no grade to approve"
    run(folder, "hold", "b", "bob")
    assert f"next: gradequeue release b --data-dir {folder}, and {to_gradebook}" in run(folder, "review", "b")
    assert f"next: {to_gradebook}" in run(folder, "release", "b", expect=1)


def test_a_list_to_read_from_hand_grades_and_what_it_says_about_the_rest(tmp_path: Path):
    home = DataFolder.of(tmp_path / "data")
    store = new_store(home.path / "gradequeue.db")
    graded(store, {f"s{n}": {"score": 10.0, "max_points": 20} for n in range(60)} | {"failed": None})
    store.close()
    drawn = json.loads(run(home.path, "review", "b", "--hand-sample", "30", "--json"))
    sheet = tmp_path / "hand.csv"
    sheet.write_text("id,total\n" + "".join(f"{item},{10 if place else 14}\n" for place, item in enumerate(drawn)))
    few = tmp_path / "few.csv"
    few.write_text(f"id,total\n{drawn[0]},10\nstranger,10\n")

    told = json.loads(run(home.path, "review", "b", "--read", "5", "--hand", str(sheet), "--json"))
    shown = run(home.path, "review", "b", "--within", "0.2", "--hand", str(sheet))

    assert json.loads(run(home.path, "review", "b", "--hand-sample", "30", "--json")) == drawn
    assert len(set(drawn)) == 30
    assert told["to_read"][0] == "failed"
    assert len(told["to_read"]) == 6
    assert (told["unread"], told["hand_grades"], told["tolerance"]) == (25, 30, 1.0)
    assert 0 < told["mean_error_at_most"] < 0.5
    assert "points or more" in shown
    assert "1 of the hand grades belong" in run(home.path, "review", "b", "--read", "5", "--hand", str(few), expect=2)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["review", "b", "--read", "5"], "need about 30 grades given by hand"),
        (["approve", "b"], "name the items, or say --all"),
        (["override", "b", "ada", "--reason", "r"], "say what to correct"),
        (["override", "b", "ada", "--set", "feedback", "--reason", "r"], "--set: 'feedback' is no NAME=VALUE"),
        (["override", "b", "ada", "--points", "x=y", "--reason", "r"], "--points: x=y is no number of points"),
        (["rescore", "b"], "name the rubric as it is now: --rubric FILE"),
        (["rescore", "b", "--rubric", "nothing.json"], "nothing.json: cannot be read"),
        (["release", "b", "--recall"], "name the items"),
        (["review", "nothing"], "there is no batch 'nothing'"),
    ],
)
def test_a_command_that_lacks_something_says_what(folder: Path, arguments: list[str], complaint: str):
    assert complaint in run(folder, *arguments, expect=2)


def test_a_drift_report_as_text_json_and_one_file(folder: Path, tmp_path: Path):
    page = tmp_path / "drift.html"
    shown = run(folder, "drift", "b", "again", "--html", str(page))
    told = json.loads(run(folder, "drift", "b", "again", "--json"))

    assert "total_deduction: too few pairs" in shown
    assert told["compared"] == 1
    assert told["movers"][0]["id"] == "ada"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def taken(folder: Path) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in run(folder, "audit", "--json").splitlines()]
    return [(line["batch"], line["by"], line["detail"]) for line in lines if line["action"] == "download"]


def test_every_file_that_a_command_writes_is_in_the_audit_log(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("GRADEQUEUE_REVIEWER", raising=False)
    out = ["--out", str(tmp_path / "file")]
    run(folder, "results", "b", *out, "--by", "Kim")
    run(folder, "results", "b", "--format", "csv", "--by", "Kim")
    run(folder, "export", "--ledger", *out, "--by", "Kim")
    monkeypatch.setenv("GRADEQUEUE_REVIEWER", "Lee")
    zipped = ["--feedback-zip", str(tmp_path / "feedback.zip"), "--feedback-format", "md"]
    grades = ["--only", "all", "--out-of", "100"]
    run(folder, "gradebook", "b", "--for", "csv", *out, *grades)
    run(folder, "gradebook", "b", "--for", "gradescope", *grades, *zipped)
    monkeypatch.delenv("GRADEQUEUE_REVIEWER")
    monkeypatch.setenv("LOGNAME", "login")
    run(folder, "drift", "b", "again", *out)

    assert taken(folder) == [
        ("b", "Kim", "results, jsonl"),
        ("b", "Kim", "results, csv"),
        ("b", "Kim", "requests of every round, jsonl"),
        ("again", "Kim", "requests of every round, jsonl"),
        ("b", "Lee", "gradebook, csv"),
        ("b", "Lee", "feedback for gradescope, md"),
        ("b", "login", "drift from b to again, csv"),
        ("again", "login", "drift from b to again, csv"),
    ]


def test_a_file_that_was_not_written_is_not_in_the_audit_log(folder: Path, tmp_path: Path):
    run(folder, "results", "nobody", expect=2)
    run(folder, "export", "b", "nobody", expect=2)
    run(folder, "gradebook", "b", "--for", "csv", "--out", str(tmp_path / "file"), expect=2)  # nothing is approved
    run(folder, "gradebook", "b", "--for", "moodle", "--only", "all", "--out-of", "100", expect=2)  # no file to fill
    assert taken(folder) == []


def test_who_failed_is_graded_by_hand_as_the_failures_say(folder: Path):
    store = Store.open(DataFolder.of(folder).store_url)
    with store.transaction() as connection:
        connection.execute(update(jobs).values(schema_name="error_report"))
    store.close()
    assert "by hand: gradequeue override b ID --points NUMBER --reason TEXT" in run(folder, "failures", "b", expect=1)
    by_hand = ("override", "b", "bob", "--reason", "on paper", "--by", "Kim")

    refused = run(folder, *by_hand, "--points", "85", expect=2)
    assert "say what is deducted: --set total_deduction=85" in refused
    assert "there is one total" in run(folder, *by_hand, "--points", "1", "--points", "2", expect=2)
    assert "1 corrected" in run(folder, *by_hand, "--set", "total_deduction=15")

    listed = {line["id"]: line for line in map(json.loads, run(folder, "review", "b", "--json").splitlines())}
    assert listed["bob"]["review"]["official"] == {"graded_by_hand": "total", "total_deduction": 15.0}
    assert listed["bob"]["doubt"]["reasons"] == []
