"""Amounts in words: the terminal and the page say the same."""

from __future__ import annotations

import click
from click.testing import CliRunner

from producer.terminal.words import command, cost, duration, enqueued, listed, moment, rate


def test_what_is_not_known_is_said_and_never_zero():
    assert cost(None, "api.openai.com") == "unknown"
    assert cost(0.0, "standin") == "$0"
    assert cost(1.5, "api.openai.com") == "$1.5000"
    assert (duration(None), duration(3725), duration(0), rate(None), rate(0.5)) == ("-", "1h02m", "0s", "-", "30 / min")


def test_what_an_enqueue_did_is_counted_and_nothing_new_is_said():
    assert enqueued(1200, 0) == "1,200 new"
    assert enqueued(2, 1) == "2 new, 1 already enqueued"
    assert enqueued(0, 3) == "0 new, 3 already enqueued: nothing is graded or paid for again"


def test_words_are_listed_as_people_do():
    assert [listed("abc"[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_a_moment_is_in_utc_to_the_minute_or_the_second():
    assert moment(0) == "1970-01-01 00:00 UTC"
    assert moment(59.9, with_seconds=True) == "1970-01-01 00:00:59 UTC"


def test_a_command_to_copy_means_the_batch_and_nothing_else_whatever_it_is_called():
    assert command("status", "week3", options=["--watch"]) == "gradequeue status week3 --watch"
    assert (
        command("retry", "a $(date) b", options=["--kind", "refused"])
        == "gradequeue retry 'a $(date) b' --kind refused"
    )
    assert command("drift", "-x", "y", options=["--json"]) == "gradequeue drift --json -- -x y"


def test_a_command_in_advice_names_the_data_folder_that_the_present_one_was_given():
    @click.command()
    @click.option("--data-dir")
    def given(data_dir: str | None) -> None:  # noqa: ARG001 - read from the context
        click.echo(command("review", "week 3"))
        click.echo(command("worker", options=["--data-dir", "elsewhere"]))

    said = CliRunner().invoke(given, ["--data-dir", "my data"]).output.splitlines()
    assert said == ["gradequeue review 'week 3' --data-dir 'my data'", "gradequeue worker --data-dir elsewhere"]
    assert CliRunner().invoke(given, []).output.splitlines()[0] == "gradequeue review 'week 3'"
