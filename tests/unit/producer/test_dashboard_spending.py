"""The page's pilot and cap: before the button, and how a batch that waits goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from producer.page.waiting import why_it_waits
from producer.review.glance import Board
from tests.unit.producer.test_dashboard_new_batch import ANNA, BEN, CLEO, client, named, sent, texts, uploaded  # noqa: F401
from tests.unit.producer.test_dashboard_pages import end, enqueue, opened
from workers.store.control_tables import notify_targets
from workers.store.feed import Feed, due_jobs
from workers.store.tables import jobs

if TYPE_CHECKING:
    from pathlib import Path

    from producer import JobClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def startable(client: JobClient, queue: str = "interactive") -> int:  # noqa: F811
    with client.store.snapshot() as connection:
        return len(due_jobs(connection, Feed(queue, client.provider), at_most=100))


def test_a_pilot_starts_alone_and_the_button_grades_the_rest(client: JobClient):  # noqa: F811
    app = named(uploaded(ANNA, BEN, CLEO), "week1")
    app.number_input(key="pilot").set_value(1).run()
    assert app.button(key="grade").label == "Grade 1 of 3 submissions first"
    app = sent(app)
    assert startable(client) == 1

    with client.store.transaction() as connection:
        pilot = client.batch("week1").gate().pilot
        assert pilot is not None
        assert pilot.jobs == 1
        chosen = due_jobs(connection, Feed("interactive", client.provider), at_most=1)
        connection.execute(jobs.update().where(jobs.c.id.in_(chosen)).values(state="succeeded"))
    app = app.run()
    assert any("pilot of 1 submission is over; 2 more wait" in info.value for info in app.info)
    app.button(key="grade the rest").click().run()
    assert not app.exception
    assert client.batch("week1").gate().pilot is None
    assert startable(client) == 2


def test_who_is_told_and_the_weight_are_asked_before_the_button(client: JobClient):  # noqa: F811
    app = named(uploaded(ANNA), "week4")
    app.text_input(key="notify").set_value("kim@uni.edu").run()
    assert any("expects https://host/path or mailto:" in text for text in texts(app)), texts(app)
    assert not [button for button in app.button if button.key == "grade"], "nothing is graded until it is corrected"
    app.text_input(key="notify").set_value("mailto:kim@uni.edu, https://hooks.uni.edu/secret").run()
    app.number_input(key="weight").set_value(3.0).run()
    sent(app)
    with client.store.snapshot() as connection:
        told = set(connection.execute(select(notify_targets.c.target)).scalars())
    assert told == {"mailto:kim@uni.edu", "https://hooks.uni.edu/secret"}
    assert client.batch("week4").gate().weight == 3.0


@pytest.mark.usefixtures("client")
def test_a_price_that_is_unknown_is_said_before_the_button_and_refuses_a_cap():
    app = named(uploaded(ANNA), "week2")
    (said,) = [caption.value.replace("\\", "") for caption in app.caption if "grading with m" in caption.value]
    assert said == "What grading with m costs is not known: the model has no price here."
    app.number_input(key="max cost").set_value(2.0).run()
    app = sent(app)
    assert any("price of m at p is unknown" in text for text in texts(app))


def test_who_needs_the_grades_later_lets_the_jobs_wait(client: JobClient):  # noqa: F811 - the fixture
    app = named(uploaded(ANNA, BEN), "week4")
    app.selectbox(key="wanted").set_value("Within 24 hours, for the lowest price").run()
    app = sent(app)
    assert not app.exception
    assert startable(client) == 0
    [look] = client.batch("week4").progress().lanes
    assert (str(look.lane), look.waiting) == ("batch", 2)
    assert "For a lower price: 2 to be handed over." in why_it_waits(Board(client, "week4").glance())


@pytest.fixture
def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model `m` ends in a month."""
    soon = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
    profile = {"shutdown_on": soon, "replacement": "m2"}
    (tmp_path / "profiles.json").write_text(json.dumps({"models": {"m": profile}}))
    monkeypatch.setenv("GRADEQUEUE_MODEL_PROFILES", str(tmp_path / "profiles.json"))


@pytest.mark.usefixtures("client", "ending")
def test_a_model_that_ends_soon_is_said_before_the_button():
    app = named(uploaded(ANNA), "week3")
    said = [warning.value for warning in app.warning]
    assert any("m shuts down" in text and "m2" in text for text in said), said


def page_of_failures() -> None:
    from producer.page import services
    from producer.page.retry_form import retry_form
    from workers.contract.outcome import FailureKind

    retry_form(services.client().batch("b"), {FailureKind.TRUNCATED: 1})


@pytest.mark.usefixtures("ending")
def test_a_model_that_ends_soon_is_said_before_failures_run_again(client: JobClient):  # noqa: F811
    enqueue(client, "anna")
    end(client, "anna", kind="truncated")
    app = opened(page_of_failures)
    assert any("m shuts down" in warning.value for warning in app.warning)
    app.text_input(key="retry model").set_value("lasting").run()
    assert not app.exception
    assert not any("shuts down" in warning.value for warning in app.warning)
