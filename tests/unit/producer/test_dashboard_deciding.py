"""Deciding on the page: in place, seen before it is replaced, and only by who may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

from producer import Item
from producer.page.who import Role
from producer.review.opening import review_of
from tests.store.test_rescoring import scheme
from tests.unit.producer.test_dashboard_pages import (
    end,
    enqueue,
    opened,
    page_of_batch,
    page_of_student,
    the_page_s_client,
)
from workers.contract.job import JobSpec
from workers.contract.origin import BatchOrigin
from workers.contract.pictures import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer import JobClient
    from workers.store import Store

RUBRIC = scheme()
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def decided_by(client: JobClient, item: str) -> list[tuple[str, str]]:
    return [(str(each.kind), each.by) for each in review_of(client, "b").decisions(item)]


def test_a_grade_is_approved_corrected_and_taken_back_in_place(client: JobClient):
    enqueue(client, "anna")
    end(client, "anna")
    app = opened(page_of_student)

    app.button(key="approve").click().run()
    (score,) = [field for field in app.number_input if field.label == "Score"]
    score.set_value(80)
    (reason,) = [field for field in app.text_input if field.label.startswith("Reason")]
    reason.set_value("half a point too many")
    (save,) = [button for button in app.button if button.label == "Save the correction"]
    save.click().run()
    assert not app.exception
    assert "80" in [metric.value for metric in app.metric]
    app.button(key="undo").click().run()

    assert [kind for kind, _by in decided_by(client, "anna")] == ["approve", "override", "undo"]
    assert "90" in [metric.value for metric in app.metric]


def test_the_second_reviewer_sees_the_firsts_decision_before_replacing_it(client: JobClient):
    enqueue(client, "anna")
    end(client, "anna")
    app = opened(page_of_student)
    review_of(client, "b").hold(["anna"], by="Lee", reason="talk first")

    app.button(key="approve").click().run()

    assert any("Lee decided about it since you looked" in plain_of(warning.value) for warning in app.warning)
    assert [kind for kind, _by in decided_by(client, "anna")] == ["hold"]
    app.button(key="approve").click().run()
    assert [kind for kind, _by in decided_by(client, "anna")] == ["hold", "approve"]


def test_a_person_sees_the_pictures_that_were_judged(client: JobClient):
    fence, scan = client.fence("b"), Picture("image/jpeg", 12, 16, "YWJjZA==")
    prompt = fence.around("scan.jpg", f"seen\n{scan.line(fence.mark)}")
    spec = JobSpec(id="anna", prompt=prompt, instructions=fence.rule_of_parts, schema="feedback", model="gpt-6-luna")
    client.enqueue([spec], name="b", origin=BatchOrigin(fence=fence.mark))
    end(client, "anna")

    app = opened(page_of_student)

    (image,) = app.get("image")
    assert image.proto.imgs[0].url == scan.url
    assert image.proto.imgs[0].caption == "Picture 1 of 1, 12 x 16"
    assert not any("[picture" in each.value for each in app.get("html"))


def test_who_handed_in_nothing_that_could_be_sent_is_said_to_be_looked_up(client: JobClient):
    nothing = JobSpec(id="anna", prompt="", schema="feedback", model="m", left_out="not graded: pictures only")
    client.enqueue([nothing], name="b")
    app = opened(page_of_student)
    assert any("Look at the original" in plain_of(each.value) for each in app.info)
    assert "Save the grade" in [button.label for button in app.button]


def plain_of(markdown: str) -> str:
    return markdown.replace("\\", "")


def test_a_viewer_finds_no_button_that_changes_anything(client: JobClient):
    enqueue(client, "anna", "ben")
    end(client, "anna")
    end(client, "ben", kind="refused")
    for page in (page_of_batch, page_of_student):
        app = AppTest.from_function(page, default_timeout=30)
        app.session_state["role"] = Role.VIEWER
        app.run()
        assert not app.exception
        keys = {str(button.key) for button in app.button}
        assert not keys & {"approve", "hold", "undo", "review", "cancel", "retry", "release", "approve unflagged"}


def test_who_has_no_result_is_graded_by_hand_in_place(client: JobClient):
    enqueue(client, "anna")
    end(client, "anna", kind="not_graded")
    app = opened(page_of_student)

    def save(points: float | None, reason: str) -> None:
        (total,) = [field for field in app.number_input if field.label == "Points in total"]
        total.set_value(points)
        (text,) = [field for field in app.text_area if field.label == "What the student reads"]
        text.set_value("read on paper")
        (why,) = [field for field in app.text_input if field.label.startswith("Reason")]
        why.set_value(reason)
        next(button for button in app.button if button.label == "Save the grade").click().run()
        assert not app.exception

    save(None, "on paper")
    assert [warning.value for warning in app.warning] == ["No grade was given in the form\\."]
    save(101, "on paper")
    assert "score" in app.warning[0].value
    assert decided_by(client, "anna") == []
    save(80, "on paper")

    assert "80" in [metric.value for metric in app.metric]
    (item,) = review_of(client, "b").items()
    assert item.official.result == {"graded_by_hand": "total", "summary": "read on paper", "score": 80}
    assert any("graded by hand by" in badge for badge in [plain_of(each.value) for each in app.markdown])


def test_by_a_rubric_every_criterion_is_graded_by_hand(client: JobClient):
    client.enqueue([Item("anna", "x")], name="b", schema="rubric_assessment", model="m", context=RUBRIC.context)
    end(client, "anna", kind="refused")
    app = opened(page_of_student)

    next(field for field in app.selectbox if field.label == "Runs, level").set_value("Good")
    next(field for field in app.number_input if field.label == "Style, points of 4").set_value(2.5)
    next(field for field in app.text_input if field.label.startswith("Reason")).set_value("read on paper")
    next(button for button in app.button if button.label == "Save the grade").click().run()

    assert not app.exception
    (item,) = review_of(client, "b").items()
    assert isinstance(item.official.result, dict)
    assert (item.official.result["total_points"], item.official.result["band"]) == (12.5, "Pass")
    assert "12.5 of 14" in [metric.value for metric in app.metric]
