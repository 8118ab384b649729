"""A person's columns find the criteria they are of, by whichever of the batch's rubrics names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from producer.gradebook.grade import Standing
from producer.review.comparison import compare_with_person
from producer.review.grades import grades_of
from producer.review.hand_grades import HandGrades
from producer.review.opening import review_of
from producer.review.reading_order import ReadingOrder
from tests.unit.producer.test_dashboard_pages import end, enqueue, the_page_s_client
from workers.store.enqueue import save_context
from workers.store.tables import jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer import JobClient
    from workers.store import Store

pytest.importorskip("statsmodels")


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def rubric(**criteria: tuple[str, float]) -> dict[str, object]:
    """Criterion id -> its name and its maximum."""
    return {
        "criteria": [
            {"criterion_id": each, "name": name, "max_points": most, "levels": []}
            for each, (name, most) in criteria.items()
        ]
    }


def test_a_batch_of_two_rubrics_knows_the_criteria_of_both_by_name(client: JobClient):
    rubrics = {
        "anna": rubric(style=("Style", 5.0), q1=("Question", 3.0)),
        "ben": rubric(proof=("Proof", 8.0), q2=("Question", 3.0)),
    }
    enqueue(client, *rubrics)
    points = {"anna": {"style": 4, "q1": 2}, "ben": {"proof": 6, "q2": 1}}
    for student, content in rubrics.items():
        criteria = {each: {"points": said} for each, said in points[student].items()}
        end(client, student, {"total_points": 5, "criteria": criteria})
        save_context(client.store, context_hash=student, content=content)
        with client.store.transaction() as connection:
            connection.execute(update(jobs).where(jobs.c.item_id == student).values(context_hash=student))
    columns = {"Style": {"anna": 3.0}, "proof": {"ben": 6.0}, "Question": {"anna": 2.0}, "q2": {"ben": 1.0}}

    found = compare_with_person(review_of(client, "b"), HandGrades(by_field=columns, missing=dict.fromkeys(columns, 0)))

    assert {each.field: (each.pairs, each.bias.value) for each in found.fields} == {
        "style": (1, 1.0),
        "proof": (1, 0.0),
        "q2": (1, 0.0),
    }
    assert found.notes == ("columns that are no grade of this batch: Question",), "it names two criteria"


def test_who_only_one_of_the_two_graded_is_counted_whether_or_not_the_grades_are_kept(client: JobClient):
    enqueue(client, "anna", "ben", "cleo")
    for student in ("anna", "ben", "cleo"):
        end(client, student, {"total_points": 5, "criteria": {"one": {"points": 5}}})
    columns = {"total": {"anna": 5.0, "stranger": 1.0}, "one": {"ben": 4.0}}

    found = compare_with_person(review_of(client, "b"), HandGrades(by_field=columns, missing=dict.fromkeys(columns, 0)))

    assert {each.field: (each.pairs, each.missing) for each in found.fields} == {"total": (1, 3), "one": (1, 2)}


def test_each_grade_is_close_to_the_borders_of_its_own_rubric(client: JobClient):
    starts = {"anna": 50, "ben": 80}
    enqueue(client, *starts)
    for student, start in starts.items():
        end(client, student, {"total_points": 80, "max_points": 100})
        bands = [{"label": "low", "score_min": 0}, {"label": "high", "score_min": start}]
        save_context(client.store, context_hash=student, content={**rubric(), "overall_bands": bands})
        with client.store.transaction() as connection:
            connection.execute(update(jobs).where(jobs.c.item_id == student).values(context_hash=student))

    order = ReadingOrder(review_of(client, "b"))

    listed = order.doubts([each.id for each in order.items])
    assert [(each.item.row.id, each.reasons) for each in listed] == [
        ("ben", ("close to the border at 80 points",)),
        ("anna", ()),
    ]


def test_feedback_names_criteria_by_each_students_own_rubric(client: JobClient):
    enqueue(client, "anna", "ben")
    for student, name in (("anna", "Style"), ("ben", "Proof")):
        end(client, student, {"total_points": 5, "criteria": {"one": {"points": 5}}})
        save_context(client.store, context_hash=student, content=rubric(one=(name, 5.0)))
        with client.store.transaction() as connection:
            connection.execute(update(jobs).where(jobs.c.item_id == student).values(context_hash=student))

    grades = grades_of(review_of(client, "b"), standing=Standing.ALL)

    assert {each.id: each.criteria for each in grades} == {"anna": {"one": "Style"}, "ben": {"one": "Proof"}}
