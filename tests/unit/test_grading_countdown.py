"""A countdown crosses hosts whose clocks differ: Celery sends it as a point in time, we beside it as a duration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from celery import Celery

from workers.process.tasks import COUNTDOWN_HEADER, CountdownRequest, register_task


class Message:
    """What a consumer hands to a request."""

    delivery_info: ClassVar[dict[str, Any]] = {
        "exchange": "",
        "routing_key": "bulk",
        "priority": 0,
        "redelivered": False,
    }
    properties: ClassVar[dict[str, Any]] = {"reply_to": None, "correlation_id": "job:1"}
    body: Any = (["job", 1], {}, {})
    content_type, content_encoding = "application/json", "utf-8"

    def __init__(self, headers: dict[str, Any]) -> None:
        self.headers = headers
        self.payload = self.body


def received(eta: datetime | None, countdown_seconds: float | None) -> CountdownRequest:
    app = Celery("test", set_as_current=False)
    task = register_task(app, lambda: pytest.fail("nothing runs here"))
    headers: dict[str, Any] = {"id": "job:1", "task": task.name, "eta": eta and eta.isoformat()}
    if countdown_seconds is not None:
        headers[COUNTDOWN_HEADER] = countdown_seconds
    return CountdownRequest(Message(headers), app=app, task=task, headers=headers, body=Message.body, decoded=True)


def seconds_left(request: CountdownRequest) -> float:
    assert request.eta is not None
    left: float = (request.eta - datetime.now(UTC)).total_seconds()
    return left


def test_where_clocks_agree_the_countdown_is_what_was_sent():
    request = received(datetime.now(UTC) + timedelta(seconds=8), 10.0)

    assert seconds_left(request) == pytest.approx(8, abs=0.5)


def test_a_receiver_whose_clock_is_minutes_behind_does_not_wait_for_minutes():
    request = received(datetime.now(UTC) + timedelta(minutes=5), 10.0)

    assert seconds_left(request) == pytest.approx(10, abs=0.5)


def test_a_message_without_countdown_has_none():
    assert received(None, None).eta is None


def test_workers_receive_with_it():
    from celery.utils.imports import symbol_by_name

    app = Celery("test", set_as_current=False)

    assert symbol_by_name(register_task(app, lambda: pytest.fail("nothing runs here")).Request) is CountdownRequest
