"""Drift judged: noise is called noise, a shift has its interval, and the report says whom it moved."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from producer.regrading.drift_html import drift_html
from producer.regrading.drift_report import DriftReport, FieldVerdict, Verdict
from producer.regrading.drift_report import drift_report as report_on
from producer.regrading.histogram import MOST_VALUES
from producer.regrading.repeats import repeat, repeat_name, repeats_of
from producer.regrading.totals import MOST_DOTS, MOST_MOVERS
from tests.support.regrading import enqueue, jobs_of
from tests.unit.producer.test_drift import paired, results_in, row
from workers.contract.errors import InvalidInput
from workers.contract.outcome import JobState
from workers.store.tables import jobs

if TYPE_CHECKING:
    from producer.client import JobClient
    from workers.store.results import ResultRow

STUDENTS = 80


def graded(seed: int, *, shift: float = 0.0, count: int = STUDENTS, level: str | None = None) -> list[ResultRow]:
    """One grading: half of the grades waver by a point."""
    draw = random.Random(seed)  # noqa: S311 - grades of a made-up course
    rows = []
    for number in range(count):
        total = number % 15 + draw.choice([0, 0, 0, 0, 1, -1]) + shift
        said = level or draw.choice(["good", "good", "good", "good", "weak"])
        result = {"total_points": total, "max_points": 20, "level": said, "overall_feedback": f"<b>{seed}</b> {number}"}
        rows.append(row(f"s{number}", result))
    return [replace(each, prompt_hash=each.id) for each in rows]


def drift_report(old: list[list[ResultRow]], new: list[list[ResultRow]]) -> DriftReport:
    """Of a batch and its repeats, and another batch and its repeats."""
    noise = [pair for one, *again in (old, new) for other in again for pair in paired(one, other)]
    one, other = old[0], new[0]
    return report_on(
        paired(one, other), noise, old="b", new="b", old_results=results_in(one), new_results=results_in(other)
    )


def verdicts(report: DriftReport) -> dict[str, FieldVerdict]:
    return {each.field: each for each in report.fields}


def test_noise_is_called_noise_and_a_shift_has_its_interval():
    repeats = [graded(1), graded(2)]
    quiet = verdicts(drift_report(repeats, [graded(3)]))
    moved = verdicts(drift_report(repeats, [graded(3, shift=1.0)]))["total_points"]

    assert quiet["total_points"].verdict is Verdict.NOISE
    assert quiet["level"].verdict is Verdict.NOISE
    assert quiet["max_points"].verdict is Verdict.UNCHANGED
    assert moved.verdict is Verdict.SHIFT
    assert moved.low is not None
    assert moved.high is not None
    assert moved.low < 1.0 < moved.high
    assert moved.sentence.startswith("shift of +")
    assert moved.noise_size is not None
    assert 0.2 < moved.noise_size < 0.8


def test_labels_that_change_more_than_in_repeats_are_named():
    found = verdicts(drift_report([graded(1), graded(2)], [graded(3, level="excellent")]))["level"]

    assert found.verdict is Verdict.SCATTER
    assert "changes more than noise does" in found.sentence


def test_grades_that_scatter_more_than_the_repeats_are_no_shift_and_no_noise():
    wild = [
        replace(each, result={**each.result, "total_points": each.result["total_points"] + (5 if place % 2 else -5)})  # type: ignore[dict-item, index]
        for place, each in enumerate(graded(3))
    ]

    assert verdicts(drift_report([graded(1), graded(2)], [wild]))["total_points"].verdict is Verdict.SCATTER


def test_without_repeats_labels_are_not_judged_and_the_report_says_what_to_run():
    report = drift_report([graded(1)], [graded(2)])

    assert verdicts(report)["level"].verdict is Verdict.UNKNOWN
    assert "--repeats 2 --sample 30" in report.notes[0]


def test_below_ten_pairs_nothing_is_called_a_shift():
    few = verdicts(drift_report([graded(1, count=9)], [graded(1, count=9, shift=3.0)]))["total_points"]

    assert (few.verdict, few.shift, few.low, few.high) == (Verdict.TOO_FEW, 3.0, None, None)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_gradings_that_are_equal_or_empty_are_unchanged(count: int):
    report = drift_report([graded(1, count=count)], [graded(1, count=count)])

    assert {each.verdict for each in report.fields} <= {Verdict.UNCHANGED}
    assert (report.movers, report.bands) == ((), ())
    assert "</html>" in drift_html(report)


def test_copies_of_a_twins_grade_do_not_count():
    copies = [replace(each, same_as="s0") if place else each for place, each in enumerate(graded(1))]

    copied = drift_report([copies], [graded(2, shift=5.0)])
    assert copied.noise_pairs == 0
    assert {each.verdict for each in copied.fields if each.field == "total_points"} == {Verdict.TOO_FEW}
    assert "79 copies" in copied.notes[1]


def test_the_report_names_the_biggest_movers_with_both_feedbacks_and_the_bands_that_change():
    old, new = graded(1), graded(1)
    old[3] = replace(old[3], result={"total_points": 4, "band": "fail", "overall_feedback": "weak"})
    new[3] = replace(new[3], result={"total_points": 14, "band": "pass", "overall_feedback": "strong"})

    report = drift_report([old], [new])

    assert [(each.id, each.old, each.new) for each in report.movers] == [("s3", 4.0, 14.0)]
    assert (report.movers[0].old_feedback, report.movers[0].new_feedback) == ("weak", "strong")
    assert report.bands == (("fail", "pass", 1),)
    assert json.loads(json.dumps(report.as_json()))["bands"] == [{"from": "fail", "to": "pass", "students": 1}]


def test_a_large_batch_keeps_no_more_than_a_small_one():
    old = [row(f"s{number}", {"total_points": float(number % 7)}) for number in range(3 * MOST_DOTS)]
    new = [row(each.id, {"total_points": number % 7 + number / 1000}) for number, each in enumerate(old)]

    report = drift_report([old], [new])
    [total] = report.fields

    totals = report.totals
    assert (totals.compared, totals.higher, totals.lower) == (3 * MOST_DOTS, 3 * MOST_DOTS - 1, 0)
    assert (len(totals.dots), len(report.movers)) == (MOST_DOTS, MOST_MOVERS)
    assert [each.id for each in report.movers[:2]] == ["s5999", "s5998"]
    assert sorted(totals.dots) == sorted(drift_report([old[::-1]], [new]).totals.dots), "the same at every call"
    assert len(report.drift.fields[0].differences.counts) <= MOST_VALUES
    assert total.verdict is Verdict.SHIFT
    assert total.shift == pytest.approx(2.9995, abs=0.01)
    assert f"{MOST_DOTS} of {3 * MOST_DOTS} students, drawn by chance" in drift_html(report)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_the_page_needs_nothing_else_and_runs_nothing_that_a_student_wrote():
    page = drift_html(drift_report([graded(1)], [graded(2, shift=2.0)]))
    read = _Links()
    read.feed(page)

    assert read.links == []
    assert {"script", "b", "link", "img"} & read.tags == set()
    assert {"svg", "circle", "rect", "table"} <= read.tags
    assert "&lt;b&gt;" in page


def finished(client: JobClient) -> None:
    """A batch of three whose items all have a result."""
    enqueue(client, {"anna": "print(1)", "ben": "print(2)", "cleo": "print(3)"})
    with client.store.transaction() as connection:
        connection.execute(update(jobs).values(state=JobState.SUCCEEDED))


def test_a_sample_is_graded_again_beside_the_batch_once_however_often_it_is_asked(client: JobClient):
    finished(client)

    first = repeat(client, "old", repeats=2, sample=2)
    again = repeat(client, "old", repeats=2, sample=2)

    assert ([each.new for each in first], [each.new for each in again]) == ([2, 2], [0, 0])
    one, two = (jobs_of(client, repeat_name("old", number)) for number in (1, 2))
    assert {job.id for job in one} == {job.id for job in two}
    before = {job.id: job.prompt for job in jobs_of(client, "old")}
    assert {job.id: job.prompt for job in one}.items() <= before.items()
    assert all(job.parameters.is_repeat for job in one)
    assert client.batch("old-repeat-1").origin().repeat_of == "old"
    assert list(repeats_of("old", lambda name: client.find_batch(name) is not None)) == ["old-repeat-1", "old-repeat-2"]
    with pytest.raises(InvalidInput, match="is a repeat itself; repeat old"):
        repeat(client, "old-repeat-1", repeats=1, sample=1)


def test_a_batch_without_grades_cannot_be_repeated(client: JobClient):
    enqueue(client, {"anna": "print(1)"})

    with pytest.raises(InvalidInput, match="no grade of its own"):
        repeat(client, "old", repeats=1, sample=5)
