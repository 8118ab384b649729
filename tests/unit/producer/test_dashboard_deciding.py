"""Deciding on the page: in place, seen before it is replaced, and only by who may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

from producer.page.who import Role
from producer.review.opening import review_of
from tests.unit.producer.test_dashboard_pages import (
    end,
    enqueue,
    opened,
    page_of_batch,
    page_of_student,
    the_page_s_client,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer import JobClient
    from workers.store import Store

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
