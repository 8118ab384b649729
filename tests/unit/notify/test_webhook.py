"""A signed POST: what the receiver can check, and every way in which it does not arrive."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.receivers import Hook, hook_server
from workers.notify import webhook
from workers.notify.sending import Message, NotSent, Sender

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
MESSAGE = Message(
    id="0123abcd",
    happening="batch.ended",
    content={"batch": "week 3", "provider": "p", "succeeded": 19, "failed": 1},
    happened_at=1_795_000_000.25,
)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hook_server(Hook()) as serving:
        yield serving


def post(hook: Hook) -> None:
    Sender(secret=SECRET).send(MESSAGE, hook.url)


def test_the_signature_is_that_of_the_standards_published_example():
    key = base64.b64decode("plJ3nmyCDGBKInavdOK15jsl")
    body = b'{"event_type":"ping","data":{"success":true}}'
    found = webhook.signature(key, "msg_loFOjxBNrRLzqYUf", 1731705121, body)
    assert found == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


def test_a_receiver_can_check_who_sent_it_when_and_whether_it_came_before(hook: Hook):
    before = int(time.time())
    post(hook)
    post(hook)
    [(headers, body), (again, _body)] = hook.received
    assert headers["webhook-id"] == again["webhook-id"] == "msg_0123abcd"
    assert before <= int(headers["webhook-timestamp"]) <= time.time()
    signed = f"msg_0123abcd.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert json.loads(body) == {
        "type": "batch.ended",
        "timestamp": "2026-11-18T11:06:40.250Z",
        "data": {"batch": "week 3", "provider": "p", "succeeded": 19, "failed": 1},
        "text": "Batch week 3 has ended: 19 succeeded, 1 failed.",
    }


def test_a_redirect_is_not_followed(hook: Hook):
    with hook_server(Hook()) as elsewhere:
        hook.status, hook.headers = 307, {"location": elsewhere.url}
        with pytest.raises(NotSent, match="307: a redirect, which is not followed"):
            post(hook)
        assert elsewhere.received == []


@pytest.mark.parametrize(("status", "is_final"), [(400, False), (404, False), (429, False), (500, False), (410, True)])
def test_another_answer_than_success_is_tried_again_but_for_gone(hook: Hook, status: int, is_final: bool):  # noqa: FBT001
    hook.status = status
    with pytest.raises(NotSent, match=f"answered {status}") as refused:
        post(hook)
    assert refused.value.is_final is is_final


def test_a_receiver_that_does_not_answer_is_left_after_a_bounded_time(hook: Hook, monkeypatch: pytest.MonkeyPatch):
    over = threading.Event()
    hook.before_answer = lambda: over.wait(120)
    monkeypatch.setattr(webhook, "WHOLE_SECONDS", 0.2)
    try:
        with pytest.raises(NotSent, match=r"no answer within|not reached"):
            post(hook)
    finally:
        over.set()


def test_a_receiver_that_is_away_is_said_without_its_address():
    with pytest.raises(NotSent, match=r"not reached \(ConnectError\)") as refused:
        Sender(secret=SECRET).send(MESSAGE, "http://127.0.0.1:9/token-in-the-path")
    assert "token" not in str(refused.value)


@pytest.mark.parametrize("secret", [None, "", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%", "whsec_" + "A" * 200])
def test_without_a_proper_secret_nothing_is_sent(hook: Hook, secret: str | None):
    with pytest.raises(NotSent, match="GRADEQUEUE_NOTIFY_SECRET"):
        Sender(secret=secret).send(MESSAGE, hook.url)
    assert hook.received == []
