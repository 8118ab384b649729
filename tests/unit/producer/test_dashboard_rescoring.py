"""Changed points on the page: the difference first, then a decision that can be taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

from producer import Item
from producer.page.who import Role
from producer.review.corrections import Correction
from producer.review.opening import review_of
from tests.store.test_rescoring import answer, scheme
from tests.unit.producer.test_dashboard_pages import end, enqueue, opened, page_of_student, the_page_s_client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer import JobClient
    from workers.contract.schemes.scheme import GradingScheme
    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
OLD = scheme()


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


@pytest.fixture
def graded(client: JobClient) -> JobClient:
    """Anna all good, Ben runs badly, Cleo without a result; by a rubric of 14 points."""
    client.enqueue(
        [Item(name, name) for name in ("anna", "ben", "cleo")],
        name="b", schema="rubric_assessment", model="m", context=OLD.context,
    )  # fmt: skip
    end(client, "anna", answer("Good", "Good", by=OLD))
    end(client, "ben", answer("Bad", "Good", by=OLD))
    end(client, "cleo", kind="refused")
    return client


def page_of_points() -> None:
    from producer.page import rescoring, services
    from producer.review.opening import board_of

    rescoring.show_rescoring(board_of(services.client(), "b"))


def previewed(new: GradingScheme, *, role: Role = Role.OWNER) -> AppTest:
    app = AppTest.from_function(page_of_points, default_timeout=60)
    app.session_state["role"] = role
    app.run()
    rubric = json.dumps(new.context).encode()
    app.file_uploader(key="scheme rubric_assessment").upload("rubric.json", rubric, "application/json").run()
    app.toggle(key="show rescoring").set_value(True).run()
    assert not app.exception
    return app


def points(client: JobClient) -> dict[str, object]:
    return {
        item.row.id: item.official.result["total_points"] if isinstance(item.official.result, dict) else None
        for item in review_of(client, "b").items()
    }


def test_new_points_are_seen_before_they_are_decided_and_can_be_taken_back(graded: JobClient):
    app = previewed(scheme(good=16))

    assert "2 grades change (1 up, 0 down), 0 do not change" in [each.value for each in app.text]
    assert "Left out: cleo: it has no result (refused)" in [each.value for each in app.text]
    assert points(graded) == {"anna": None, "ben": None, "cleo": None}, "looking records nothing"

    app.button(key="rescore").click().run()
    assert not app.exception
    assert points(graded) == {"anna": 20, "ben": 4, "cleo": None}
    student = opened(page_of_student)
    assert "20 of 20" in [metric.value for metric in student.metric]
    (most,) = [field.max for field in student.number_input if field.label == "Runs, points"]
    assert most == 16, "the form follows the new points, too"

    review_of(graded, "b").override("ben", Correction(points={"style": 1}), by="Lee", reason="talked")
    app.button(key="unscore").click().run()
    assert points(graded) == {"anna": None, "ben": 1, "cleo": None}, "a person's correction stays"


def test_who_decided_since_the_difference_was_shown_is_not_overruled(graded: JobClient):
    app = previewed(scheme(good=16))
    review_of(graded, "b").hold(["anna"], by="Lee")

    app.button(key="rescore").click().run()

    assert any("Lee decided about it since you looked" in each.value.replace("\\", "") for each in app.warning)
    assert points(graded) == {"anna": None, "ben": None, "cleo": None}


@pytest.mark.usefixtures("graded")
def test_a_grader_sees_the_difference_and_no_button():
    app = previewed(scheme(good=16), role=Role.GRADER)
    assert [each for each in app.text if each.value.startswith("2 grades change")]
    assert not {"rescore", "unscore"} & {str(each.key) for each in app.button}


@pytest.mark.usefixtures("graded")
def test_where_nothing_would_change_there_is_nothing_to_decide():
    app = previewed(OLD)
    assert [each for each in app.text if each.value.startswith("0 grades change")]
    assert "rescore" not in {str(each.key) for each in app.button}


@pytest.mark.usefixtures("graded")
def test_what_cannot_be_computed_is_said_without_a_command():
    app = previewed(scheme(third=True))
    said = " ".join(each.value for each in (*app.text, *app.warning, *app.info))
    assert "it has to be graded again" in said
    assert "gradequeue" not in said


def test_grades_without_a_rubric_have_no_points_to_change(client: JobClient):
    enqueue(client, "anna")
    end(client, "anna")
    app = AppTest.from_function(page_of_points, default_timeout=60).run()
    assert "no rubric" in app.info[0].value
