"""Why a batch waits, on the page: in an instructor's words, with the button that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, update
from streamlit.testing.v1 import AppTest

from producer.local.steering import pause_target
from producer.page import waiting
from producer.page.who import Role
from producer.review.glance import PauseScope
from producer.review.opening import board_of
from tests.unit.producer.test_dashboard_pages import end, enqueue, opened, page_of_batch, the_page_s_client
from workers.contract.outcome import AccountState
from workers.store.control_tables import pauses
from workers.store.parks import park_account, parked_accounts
from workers.store.tables import batch_gates, day_gates, now_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from producer import JobClient
    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def parked(client: JobClient) -> None:
    client.store.run(
        lambda connection: park_account(
            connection, account="p", state=AccountState.QUOTA_EXHAUSTED, message="insufficient_quota"
        )
    )


def paused(client: JobClient) -> None:
    pause_target(client.store, "b")
    pause_target(client.store, "m", scope=PauseScope.MODEL)


def closed(client: JobClient, by: str) -> None:
    with client.store.transaction() as connection:
        connection.execute(
            update(batch_gates).values(
                max_usd=2.0, held_usd=2.0, closed_at=now_seconds(), closed_by=by, message="all failed alike"
            )
        )


def day_spent(client: JobClient) -> None:
    with client.store.transaction() as connection:
        connection.execute(
            insert(day_gates).values(
                provider="p",
                day="2026-11-27",
                ends_at=4e9,
                max_usd=5.0,
                held_usd=5.0,
                closed_at=now_seconds(),
                message="spent",
            )
        )


def shown(app: AppTest) -> str:
    return " ".join(each.value for each in (*app.info, *app.warning, *app.error)).replace("\\", "")


REASONS: dict[str, tuple[Callable[[JobClient], None], str]] = {
    "a parked account": (parked, waiting.TRY_AGAIN),
    "a pause": (paused, waiting.GO_ON),
    "a cap": (lambda client: closed(client, "spend_cap"), waiting.GRADE_THE_REST),
    "no price": (lambda client: closed(client, "no_price"), waiting.GRADE_THE_REST),
    "equal failures": (lambda client: closed(client, "same_failure"), waiting.GRADE_THE_REST),
}


@pytest.mark.parametrize("reason", list(REASONS))
def test_what_holds_a_batch_back_is_said_with_the_button_that_helps_and_without_a_command(
    client: JobClient, reason: str
):
    make, button = REASONS[reason]
    enqueue(client, "anna", "ben")
    end(client, "anna")
    make(client)

    app = opened(page_of_batch)
    looking = AppTest.from_function(page_of_batch, default_timeout=30)
    looking.session_state["role"] = Role.VIEWER
    looking.run()

    assert f"click '{button}'" in shown(app)
    assert button in [each.label for each in app.button], "the sentence names a button that is there"
    assert f"an owner can click '{button}'" in shown(looking)
    assert button not in [each.label for each in looking.button]
    for said in (shown(app), shown(looking)):
        assert "gradequeue" not in said
        assert "--" not in said


def test_the_buttons_do_what_they_say(client: JobClient):
    enqueue(client, "anna")
    parked(client)
    opened(page_of_batch).button(key="try account").click().run()
    paused(client)
    app = opened(page_of_batch)
    assert "This batch is paused" in shown(app)
    assert "The model m is paused" in shown(app)
    app.button(key="go on").click().run()

    assert not app.exception
    with client.store.snapshot() as connection:
        assert parked_accounts(connection) == []
        assert connection.execute(pauses.select()).all() == []


def test_a_cap_that_is_not_raised_enough_is_said_with_the_amount(client: JobClient):
    enqueue(client, "anna")
    closed(client, "spend_cap")
    app = opened(page_of_batch)
    app.button(key="grade the rest").click().run()
    assert "The cap must be higher than what is spent or reserved, $2.0000" in shown(app)


def test_a_day_whose_cap_is_spent_is_said_to_go_on_by_itself(client: JobClient):
    enqueue(client, "anna")
    day_spent(client)
    (said,) = waiting.why_it_waits(board_of(client, "b").glance())
    assert "$5.0000 of $5.0000" in said
    assert "by itself at 00:00 UTC" in said
