"""Reviewing: decisions are appended, the official grade follows from them, and whatever is repeated changes nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from pydantic import RootModel
from sqlalchemy import func, select, update

from producer.client import JobClient
from producer.gradebook.feedback import feedback_markdown
from producer.gradebook.grade import Standing
from producer.review.corrections import Correction
from producer.review.glance import Board
from producer.review.grades import grades_of
from producer.review.reading_order import ReadingOrder
from producer.review.review import Review
from producer.review.steps import is_sampled
from tests.store.steps import claim, enqueue, failure, new_job, persist, publish
from workers.contract.decision import ReleaseRule, ReviewState
from workers.contract.errors import InvalidInput
from workers.contract.origin import BatchOrigin
from workers.contract.outcome import Success
from workers.contract.registry import builtin_registry
from workers.store.decisions import ConflictingDecision
from workers.store.enqueue import open_batch
from workers.store.ledger import JobEnding
from workers.store.retention import purge
from workers.store.student_choice import Choice
from workers.store.tables import batches, decisions

if TYPE_CHECKING:
    from workers.store import Store

REPORT = {"major_errors": ["no tests"], "minor_errors": [], "feedback": "fine", "total_deduction": 10}


class Answer(RootModel[dict[str, object]]):
    """Any validated answer."""


def graded(store: Store, items: dict[str, dict[str, object] | None], *, name: str = "b", standin: bool = False) -> None:
    """A finished batch with these results; None is a failure."""
    enqueue(store, [new_job(each) for each in items], name=name)
    in_order = publish(store)
    claims = claim(store, in_order)
    for job, result in zip((claims[job_id] for job_id in in_order), items.values(), strict=True):
        ending = failure(job)
        if result is not None:
            ending = JobEnding(
                job_id=job.id,
                batch_id=job.batch_id,
                round=job.round,
                claim=job.claim,
                outcome=Success(Answer(result)),
                model_answered="m",
                is_standin=standin,
            )
        persist(store, ending=ending)


def review(store: Store, name: str = "b") -> Review:
    registry = builtin_registry()
    registry.register("s", registry.resolve("error_report").model)
    return Review(store, name, registry=registry)


def standing(found: Review) -> dict[str, tuple[ReviewState, object]]:
    return {item.row.id: (item.official.state, item.official.result) for item in found.items()}


def count(store: Store) -> int:
    with store.snapshot() as connection:
        return connection.execute(select(func.count()).select_from(decisions)).scalar_one()


def test_approving_makes_the_models_answer_official_once_however_often_it_is_said(store: Store):
    graded(store, {"ada": REPORT, "bob": None})

    first = review(store).approve(["ada", "bob", "eve"], by="Kim")
    again = review(store).approve(["ada"], by="Lee")

    assert (first.changed, again.changed, again.unchanged) == (1, 0, 1)
    assert first.left_out == {"bob": "it has no result (refused)", "eve": "b has no ended item 'eve'"}
    assert standing(review(store))["ada"] == (ReviewState.APPROVED, REPORT)


def test_a_correction_is_computed_in_code_and_undone_by_another_decision(store: Store):
    graded(store, {"ada": REPORT})
    found = review(store)
    found.approve(["ada"], by="Kim")

    found.override("ada", Correction(fields={"minor_errors": '["long lines"]'}), by="Kim", reason="seen by hand")

    assert standing(found)["ada"] == (
        ReviewState.OVERRIDDEN,
        {**REPORT, "minor_errors": ["long lines"], "total_deduction": 12},
    )
    found.undo(["ada"], by="Lee")
    assert standing(found)["ada"] == (ReviewState.APPROVED, REPORT)
    assert found.undo(["ada"], by="Lee").unchanged == 1
    found.undo(["ada"], by="Lee", goes_further=True)
    assert standing(found)["ada"] == (ReviewState.UNDECIDED, None)
    assert found.undo(["ada"], by="Lee", goes_further=True).left_out == {"ada": "there is no decision to undo"}
    assert [entry.action for entry in found.audit()] == ["approve", "override", "undo", "undo"]
    assert [entry.by for entry in found.audit()] == ["Kim", "Kim", "Lee", "Lee"]


def test_the_same_correction_twice_is_one_decision(store: Store):
    graded(store, {"ada": REPORT})
    fix = Correction(fields={"feedback": "better"})
    review(store).override("ada", fix, by="Kim", reason="tone")

    assert review(store).override("ada", fix, by="Kim", reason="tone").unchanged == 1
    assert count(store) == 1


def test_who_has_not_seen_the_newest_decision_decides_nothing(store: Store):
    graded(store, {"ada": REPORT, "bob": REPORT})
    found = review(store)
    seen = {item.row.id: item.official.last_id for item in found.items()}
    found.hold(["ada"], by="Lee", seen=seen)

    with pytest.raises(ConflictingDecision, match="ada: Lee decided about it since you looked"):
        found.approve(["bob", "ada"], by="Kim", seen=seen)

    assert standing(found)["bob"][0] is ReviewState.UNDECIDED


@pytest.mark.parametrize("call", ["approve", "hold", "undo"])
def test_a_decision_belongs_to_a_person(store: Store, call: str):
    graded(store, {"ada": REPORT})

    with pytest.raises(InvalidInput, match="needs the name"):
        getattr(review(store), call)(["ada"], by=" ")


def test_a_correction_needs_a_reason(store: Store):
    graded(store, {"ada": REPORT})

    with pytest.raises(InvalidInput, match="needs a reason"):
        review(store).override("ada", Correction(fields={"feedback": "x"}), by="Kim", reason="")


def test_only_what_was_decided_is_released_unless_the_rule_says_otherwise(store: Store):
    names = [f"s{number}" for number in range(30)]
    graded(store, dict.fromkeys(names, REPORT) | {"held": REPORT})
    found = review(store)
    found.approve(["s0"], by="Kim")
    found.hold(["held"], by="Kim")

    strict = found.release(by="Kim")
    assert (strict.changed, strict.left_out["s1"], strict.left_out["held"]) == (
        1, "it needs a decision", "it is on hold",
    )  # fmt: skip

    found.set_rule(ReleaseRule.FLAGGED, by="Kim")
    sampled = {name for name in names if is_sampled("b", name)} - {"s0"}
    relaxed = found.release(by="Kim")
    assert sampled
    assert set(relaxed.left_out) == sampled | {"held"}

    found.set_rule(ReleaseRule.NONE, by="Kim")
    assert found.release(by="Kim").changed == len(sampled)
    assert found.release(by="Kim").changed == 0
    assert set(found.release(by="Kim").left_out) == {"held"}


def test_a_grade_that_changed_after_its_release_is_released_again_and_can_be_recalled(store: Store):
    graded(store, {"ada": REPORT})
    found = review(store)
    found.approve(["ada"], by="Kim")
    found.release(by="Kim")
    found.override("ada", Correction(fields={"feedback": "other"}), by="Kim", reason="appeal")

    (item,) = found.items()
    assert item.official.changed_since_release
    assert found.release(by="Kim").changed == 1
    found.recall(["ada"], by="Kim")
    (item,) = found.items()
    assert not item.official.released


def test_grades_of_the_standin_are_never_released_nor_taken_over(store: Store):
    graded(store, {"ada": REPORT}, standin=True, name="rehearsal")
    graded(store, {"ada": REPORT})
    found = review(store, "rehearsal")
    found.approve(["ada"], by="Kim")

    assert found.release(by="Kim").left_out == {"ada": "it comes from the stand-in provider and is not real"}
    taken = review(store).apply("rehearsal", by="Kim")
    assert taken.left_out == {"ada": "its new grade comes from the stand-in provider and is not real"}


def test_a_regrade_taken_over_and_undone_leaves_the_official_grades_as_they_were(store: Store):
    names = [f"s{number}" for number in range(50)]
    graded(store, dict.fromkeys(names, REPORT))
    better = {**REPORT, "feedback": "second look"}
    graded(store, dict.fromkeys(names, better) | {"new": better}, name="b2")
    found = review(store)
    found.approve(names[:40], by="Kim")
    found.override("s3", Correction(fields={"feedback": "second look"}), by="Kim", reason="the same words")
    before = standing(found)

    taken = found.apply("b2", by="Kim")
    assert (taken.changed, taken.unchanged) == (49, 1)
    assert taken.left_out == {"new": "b has no such item"}
    assert {result["feedback"] for _state, result in standing(found).values()} == {"second look"}  # type: ignore[index]
    assert found.apply("b2", by="Kim").unchanged == 50

    assert found.undo(names, by="Kim", source="b2").changed == 49
    assert found.undo(names, by="Kim", source="b2").changed == 0
    assert standing(found) == before
    assert [entry.action for entry in found.audit()].count("undo") == 49


def test_a_purge_removes_what_decisions_say_about_student_work_and_keeps_that_they_were_made(store: Store):
    graded(store, {"ada": REPORT})
    found = review(store)
    found.override("ada", Correction(fields={"feedback": "her name"}), by="Kim", reason="her words")

    purge(store, older_than_seconds=-60)

    (decision,) = found.decisions("ada")
    assert (decision.result, decision.reason, decision.by) == (None, "", "Kim")


def test_what_was_graded_to_measure_noise_never_becomes_official(store: Store):
    graded(store, {"ada": REPORT})
    open_batch(store, name="b-repeat-1", provider="p", queue="bulk", origin=BatchOrigin(regrade_of="b", repeat_of="b"))
    graded(store, {"ada": {**REPORT, "feedback": "again"}}, name="b-repeat-1")

    with pytest.raises(InvalidInput, match="graded to measure noise"):
        review(store).apply("b-repeat-1", by="Kim")
    assert count(store) == 0


def test_a_grade_by_hand_counts_like_any_other_decision(store: Store):
    graded(store, {"ada": REPORT, "bob": None})
    given = Correction(fields={"total_deduction": "15", "feedback": "on paper"})
    with pytest.raises(InvalidInput, match="needs a reason"):
        review(store).override("bob", given, by="Kim", reason=" ")

    first = review(store).override("bob", given, by="Kim", reason="pictures only")
    again = review(store).override("bob", given, by="Lee", reason="the same")

    assert (first.changed, again.changed, again.unchanged) == (1, 0, 1)
    state, official = standing(review(store))["bob"]
    assert (state, official) == (
        ReviewState.OVERRIDDEN, {"graded_by_hand": "total", "total_deduction": 15.0, "feedback": "on paper"},
    )  # fmt: skip
    (grade,) = [
        each for each in grades_of(review(store), standing=Standing.APPROVED, out_of=Decimal(100)) if each.id == "bob"
    ]
    assert (grade.points, grade.why_none) == (Decimal(85), "")
    assert "15" not in feedback_markdown(grade, title="b"), "a student reads points, not how they were kept"
    assert "on paper" in feedback_markdown(grade, title="b")
    assert review(store).release(["bob"], by="Kim").changed == 1
    assert [(each.action, each.by, each.detail) for each in review(store).audit()] == [
        ("override", "Kim", "pictures only"), ("release", "Kim", ""),
    ]  # fmt: skip
    review(store).undo(["bob"], by="Lee")
    assert standing(review(store))["bob"] == (ReviewState.UNDECIDED, None)


def test_a_grade_by_hand_is_read_first_no_longer_and_stays_what_it_is_under_new_points(store: Store):
    graded(store, {"ada": REPORT, "bob": None})
    review(store).override("bob", Correction(fields={"total_deduction": "15"}), by="Kim", reason="on paper")

    order = ReadingOrder(review(store))
    assert [doubt.reasons for doubt in order.doubts(["ada", "bob"])] == [(), ()]
    board = Board(JobClient(store=store, publisher=None, registry=builtin_registry(), provider="p"), "b")
    lines = board.students(Choice()).rows
    assert [(line.id, line.points, line.reasons) for line in lines] == [("ada", 10.0, ()), ("bob", 15.0, ())]


def test_a_grade_by_hand_of_a_rehearsal_is_never_released(store: Store):
    graded(store, {"bob": None})
    with store.transaction() as connection:
        connection.execute(update(batches).values(provider="standin"))
    review(store).override("bob", Correction(fields={"total_deduction": "15"}), by="Kim", reason="on paper")
    assert review(store).release(by="Kim").left_out == {"bob": "it comes from the stand-in provider and is not real"}
