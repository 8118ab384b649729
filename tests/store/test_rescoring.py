"""Points and levels that changed later: grades are computed again from the same answers, as decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import RootModel

from producer.client import JobClient
from producer.review.corrections import Correction
from producer.review.glance import Board, Choice
from producer.review.rescoring import is_rescored, record_rescoring, rescored
from producer.review.review import Review
from tests.store.steps import claim, enqueue, failure, new_job, persist, publish
from workers.contract.decision import DecisionKind, ReviewState
from workers.contract.errors import InvalidInput
from workers.contract.outcome import Success
from workers.contract.registry import builtin_registry
from workers.contract.schemes.rubric import parse_rubric
from workers.contract.schemes.scheme import GradingScheme, scheme_of_rubric
from workers.store.enqueue import save_context
from workers.store.ledger import JobEnding

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.decisions import AuditEntry
    from workers.store.enqueue import NewJob

REGISTRY = builtin_registry()


def scheme(*, good: float = 10, title: str = "Loops", third: bool = False, style: bool = True) -> GradingScheme:
    def criterion(name: str, most: float) -> dict[str, Any]:
        levels = [
            {"label": "Good", "score_min": most, "score_max": most},
            {"label": "Bad", "score_min": 0, "score_max": 0},
        ]
        return {"criterion_id": name, "name": name.title(), "max_points": most, "levels": levels}

    criteria = [criterion("runs", good), *([criterion("style", 4)] if style else [])]
    return scheme_of_rubric(
        parse_rubric({
            "rubric_id": "r", "title": title, "cannot_assess": True,
            "overall_bands": [{"label": "Pass", "score_min": 8, "score_max": 8}],
            "criteria": [*criteria, *([criterion("tests", 2)] if third else [])],
        })
    )  # fmt: skip


def answer(runs: str, style: str, *, by: GradingScheme) -> dict[str, Any]:
    said = {
        name: {"evidence": "", "feedback": "f", "level": level} for name, level in (("runs", runs), ("style", style))
    }
    model = REGISTRY.resolve(by.schema, by.context).model
    return model.model_validate({"criteria": said, "overall_feedback": "o", "work": "assessable"}).model_dump(
        mode="json"
    )


def _job(name: str, by: GradingScheme) -> NewJob:
    job = new_job(name)
    return replace(job, spec=replace(job.spec, schema=by.schema), context_hash="old")


class Answer(RootModel[dict[str, object]]):
    """Any validated answer."""


@pytest.fixture
def review(store: Store) -> Review:
    """Ada all good, Bob runs badly, Cleo without a result; by a rubric of 14 points."""
    old = scheme()
    save_context(store, context_hash="old", content=old.context)
    enqueue(store, [_job(name, old) for name in ("ada", "bob", "cleo")], name="b")
    order = publish(store)
    claims = claim(store, order)
    results = [answer("Good", "Good", by=old), answer("Bad", "Good", by=old), None]
    for job_id, result in zip(order, results, strict=True):
        job = claims[job_id]
        ending = failure(job)
        if result is not None:
            ending = JobEnding(
                job_id=job.id, batch_id=job.batch_id, round=job.round, claim=job.claim,
                outcome=Success(Answer(result)), model_answered="m", is_standin=False,
            )  # fmt: skip
        persist(store, ending=ending)
    return Review(store, "b", registry=REGISTRY)


def totals(review: Review) -> dict[str, tuple[ReviewState, object, object]]:
    found = {}
    for item in review.items():
        result = item.official.result
        points, band = (result["total_points"], result["band"]) if isinstance(result, dict) else (None, None)
        found[item.row.id] = (item.official.state, points, band)
    return found


def recorded(review: Review, new: GradingScheme) -> int:
    found = rescored(review, new, registry=REGISTRY)
    return record_rescoring(review, found, registry=REGISTRY, by="Kim", reason="lower").changed


def test_grades_follow_the_new_points_as_decisions_that_can_be_undone(review: Review):
    new = scheme(good=6)
    found = rescored(review, new, registry=REGISTRY)
    assert found.left_out == {"cleo": "it has no result (refused)"}
    assert (found.undecided, found.notes) == (2, ())
    assert [(move.item_id, move.distance) for move in found.difference.moves] == [("ada", -4), ("bob", 0)]
    assert totals(review)["ada"][0] is ReviewState.UNDECIDED, "looking records nothing"

    assert recorded(review, new) == 2
    assert totals(review)["ada"] == (ReviewState.OVERRIDDEN, 10, "Pass")
    assert totals(review)["bob"] == (ReviewState.OVERRIDDEN, 4, None)
    assert recorded(review, new) == 0, "again does nothing"
    entry: AuditEntry = review.audit()[0]
    assert (entry.by, entry.action, entry.detail) == ("Kim", "override", "lower")
    review.undo(["ada", "bob"], by="Kim")
    assert totals(review)["ada"][0] is ReviewState.UNDECIDED


def test_the_list_of_students_says_of_how_many_points_the_new_ones_are(review: Review, store: Store):
    board = Board(JobClient(store=store, publisher=None, registry=REGISTRY, provider="p"), "b")
    recorded(review, scheme(good=6))
    lines = {line.id: line for line in board.students(Choice()).rows}
    assert (lines["ada"].points, lines["ada"].most_points, lines["cleo"].most_points) == (10, 10, 14)


def test_later_corrections_follow_the_new_points_and_points_by_hand_stay(review: Review):
    review.override("ada", Correction(points={"style": 3}), by="Kim", reason="talked")
    recorded(review, scheme(good=6))
    assert totals(review)["ada"][1] == 9
    review.override("ada", Correction(fields={"criteria.runs.level": "Bad"}), by="Kim", reason="no")
    review.override("ada", Correction(fields={"criteria.runs.level": "Good"}), by="Kim", reason="yes")
    assert totals(review)["ada"][1] == 9, "by the rubric of 10 points, not the one of 14"


def test_what_the_model_was_never_asked_is_not_computed(review: Review):
    found = rescored(review, scheme(third=True), registry=REGISTRY)
    assert found.seen == {}
    assert found.left_out["ada"].startswith(
        "its answer does not fit: criteria.tests: is missing; it has to be graded again"
    )
    assert "asked with have changed" in found.notes[-1]


def test_a_criterion_may_be_dropped_and_says_so(review: Review):
    found = rescored(review, scheme(style=False), registry=REGISTRY)
    assert found.difference.moves[0].new == 10
    assert found.notes[0] == "no longer counted: style"


def test_who_decided_in_between_is_not_overruled(review: Review):
    found = rescored(review, scheme(good=6), registry=REGISTRY)
    review.approve(["ada"], by="Lee")
    with pytest.raises(InvalidInput, match="ada: Lee decided about it since you looked"):
        record_rescoring(review, found, registry=REGISTRY, by="Kim", reason="r")
    review.hold(["ada"], by="Lee")
    assert rescored(review, scheme(good=6), registry=REGISTRY).left_out["ada"] == "it is on hold"


def test_a_grade_by_hand_is_left_to_its_person(review: Review):
    review.override("cleo", Correction(total=9), by="Kim", reason="on paper")
    left_out = rescored(review, scheme(good=6), registry=REGISTRY).left_out
    assert left_out == {"cleo": "it was graded by hand; correct it by hand"}


def test_undoing_the_last_act_takes_a_rescoring_back_and_leaves_holds_and_earlier_decisions(review: Review):
    review.approve(["ada"], by="Kim")
    review.hold(["bob"], by="Lee")
    assert recorded(review, scheme(good=6)) == 1
    act = review.last_act()
    assert act is not None
    assert (act.kind, act.by, act.reason) == (DecisionKind.OVERRIDE, "Kim", "lower")

    assert review.lifted_by_undo(goes_further=False) == 1
    assert review.undo_act(act, by="Kim").changed == 1
    states = {name: state for name, (state, _points, _band) in totals(review).items()}
    assert (states["ada"], states["bob"]) == (ReviewState.APPROVED, ReviewState.ON_HOLD)
    assert review.undo_act(act, by="Kim").changed == 0, "again does nothing"
    last = review.last_act()
    assert last is not None
    assert last.kind is DecisionKind.UNDO


def test_taking_new_points_back_as_the_page_does_leaves_holds_as_they_are(review: Review):
    review.hold(["bob"], by="Lee")
    recorded_on_the_page = rescored(review, scheme(good=6), registry=REGISTRY)
    record_rescoring(review, recorded_on_the_page, registry=REGISTRY, by="Kim")
    assert review.undo(None, by="Kim", goes_further=True, is_meant=is_rescored).changed == 1
    states = {name: state for name, (state, _points, _band) in totals(review).items()}
    assert (states["ada"], states["bob"]) == (ReviewState.UNDECIDED, ReviewState.ON_HOLD)
