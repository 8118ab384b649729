"""Whatever the SDK and the HTTP libraries raise is read into one record."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from types import SimpleNamespace
from unittest.mock import MagicMock

import aiohttp
import httpx2
import openai
import pytest

from workers.completion.errors.failed_call import PEER_ERRORS, Reason, failed_call_in, failed_call_of

REQUEST = httpx2.Request("POST", "https://provider.test/v1/chat/completions")


def caused(error: Exception, *causes: Exception) -> Exception:
    for outer, inner in pairwise([error, *causes]):
        outer.__cause__ = inner
    return error


def status_error(status: int, body: object, headers: dict[str, str] | None = None) -> openai.APIStatusError:
    response = httpx2.Response(status, headers=headers, request=REQUEST)
    return openai.APIStatusError("no", response=response, body=body)


def misnamed(cause: Exception) -> Exception:
    """Build the SDK's timeout over what the aiohttp transport calls a connect timeout."""
    return caused(openai.APITimeoutError(REQUEST), httpx2.ConnectTimeout("x"), cause)


@pytest.mark.parametrize(
    ("error", "status_code", "reason"),
    [
        (TimeoutError(), None, Reason.TIMED_OUT),
        (openai.APITimeoutError(REQUEST), None, Reason.TIMED_OUT),
        (caused(openai.APITimeoutError(REQUEST), httpx2.ReadTimeout("x")), None, Reason.TIMED_OUT),
        (misnamed(aiohttp.ServerTimeoutError()), None, Reason.TIMED_OUT),
        (misnamed(aiohttp.ServerDisconnectedError()), None, Reason.CONNECTION),
        (misnamed(aiohttp.ClientOSError()), None, Reason.CONNECTION),
        (openai.APIConnectionError(request=REQUEST), None, Reason.CONNECTION),
        (caused(openai.APIConnectionError(request=REQUEST), httpx2.ReadError("x")), 200, Reason.CONNECTION),
        (caused(openai.APIConnectionError(request=REQUEST), httpx2.DecodingError("x")), 200, Reason.GARBLED),
        (aiohttp.ClientPayloadError(), 200, Reason.CONNECTION),
        (ConnectionResetError(), None, Reason.CONNECTION),
        (aiohttp.ClientResponseError(MagicMock(), ()), None, Reason.GARBLED),
        (json.JSONDecodeError("x", "", 0), 200, Reason.GARBLED),
        (json.JSONDecodeError("x", "", 0), None, Reason.GARBLED),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), 200, Reason.GARBLED),
        (TypeError("x"), 200, Reason.GARBLED),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"), None, Reason.UNSENDABLE),
        (status_error(500, None), 500, Reason.ERROR_RESPONSE),
    ],
)
def test_an_exception_is_read_for_its_reason(error: Exception, status_code: int | None, reason: Reason):
    assert isinstance(error, PEER_ERRORS)

    assert failed_call_of(error, status_code=status_code, headers={}).reason is reason


def test_a_cancelled_task_is_no_error_of_the_peer():
    assert not issubclass(asyncio.CancelledError, PEER_ERRORS)


@pytest.mark.parametrize(
    "body",
    [
        {"message": "no", "type": "t", "code": "c", "param": "p"},
        {"error": {"message": "no", "type": "t", "code": "c", "param": "p"}},
    ],
)
def test_the_error_object_is_read_with_and_without_its_envelope(body: object):
    found = failed_call_of(status_error(400, body, {"retry-after": "3"}), status_code=None, headers={})

    assert (found.status_code, found.code, found.type, found.param) == (400, "c", "t", "p")
    assert found.message == "no"
    assert found.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, ""),
        ("text", "text"),
        (["text"], "text"),
        ([], ""),
        ([None], ""),
        ({"error": "text"}, "text"),
        ({"code": {"a": 1}, "message": 7.5}, ""),
        ({"error": {"details": [7, {"@type": 3}], "innererror": 4, "metadata": [], "status": {}}}, ""),
    ],
)
def test_a_body_of_any_shape_is_read(body: object, words: str):
    found = failed_call_of(status_error(400, body), status_code=None, headers={})

    assert (found.status_code, found.code, found.message) == (400, None, words)
    assert not found.has_error_object
    assert found.names == frozenset()


def test_an_exception_may_carry_its_wait_and_mocked_headers():
    response = MagicMock()
    response.status_code = 429
    error = openai.RateLimitError("no", response=response, body=None)
    error.retry_after = 2.5  # type: ignore[attr-defined]

    found = failed_call_of(error, status_code=None, headers={})

    assert found.own_wait_seconds == 2.5
    assert found.headers == {}


@pytest.mark.parametrize(
    ("completion", "reason", "status_code"),
    [
        (SimpleNamespace(choices=None, error={"message": "x", "code": 429}), Reason.ERROR_RESPONSE, 429),
        (SimpleNamespace(choices=None, error={"message": "x", "code": "502"}), Reason.ERROR_RESPONSE, 502),
        (SimpleNamespace(choices=None, error={"code": "server_error"}), Reason.ERROR_RESPONSE, None),
        (SimpleNamespace(choices=[SimpleNamespace(error={"code": 500})]), Reason.ERROR_RESPONSE, 500),
        ([{"error": {"code": 429, "message": "x"}}], Reason.ERROR_RESPONSE, 429),
        (SimpleNamespace(choices=None, error={"code": "1113"}), Reason.ERROR_RESPONSE, None),
        (SimpleNamespace(choices=None, error={"code": "9" * 5_000}), Reason.ERROR_RESPONSE, None),
        ([{"error": "x"}], Reason.GARBLED, 200),
        (SimpleNamespace(choices=None), Reason.GARBLED, 200),
        ("<html>", Reason.GARBLED, 200),
        (None, Reason.GARBLED, 200),
        ([], Reason.GARBLED, 200),
    ],
)
def test_a_good_status_can_hide_a_fault(completion: object, reason: Reason, status_code: int | None):
    found = failed_call_in(completion, status_code=200, headers={})

    assert found is not None
    assert (found.reason, found.status_code) == (reason, status_code)


@pytest.mark.parametrize(
    "completion", [SimpleNamespace(choices=[]), SimpleNamespace(choices=[SimpleNamespace(message=None)])]
)
def test_an_answer_is_no_fault(completion: object):
    assert failed_call_in(completion, status_code=200, headers={}) is None


def test_a_mocked_answer_is_no_fault():
    completion = MagicMock()
    completion.choices = [MagicMock()]

    assert failed_call_in(completion, status_code=None, headers={}) is None
