"""How a call that failed ends."""

from __future__ import annotations

import pytest

from workers.completion.classify import Blocked, Throttled, Transient, classify_failed_call
from workers.completion.errors.failed_call import FailedCall, Reason
from workers.completion.errors.refusals import known_refusals
from workers.contract.outcome import AccountState, Failure, FailureKind, Success

CODES = known_refusals().codes
NOW = 1_700_000_000.0


def failed_call(status: int | None = None, code: str | None = None, **more: object) -> FailedCall:
    return FailedCall(reason=Reason.ERROR_RESPONSE, status_code=status, code=code, **more)


@pytest.mark.parametrize(
    ("given", "account"),
    [
        *((failed_call(429, code), AccountState(CODES[code])) for code in CODES if CODES[code] in set(AccountState)),
        (failed_call(429, None, type="insufficient_quota"), AccountState.QUOTA_EXHAUSTED),
        (failed_call(402, "402"), AccountState.QUOTA_EXHAUSTED),
        (failed_call(None, "insufficient_quota"), AccountState.QUOTA_EXHAUSTED),
        (failed_call(401, "invalid_api_key"), AccountState.AUTH_FAILED),
        (failed_call(401), AccountState.AUTH_FAILED),
        (failed_call(None, "invalid_api_key"), AccountState.AUTH_FAILED),
        (failed_call(403, "unsupported_country_region_territory"), AccountState.AUTH_FAILED),
    ],
)
def test_answers_about_the_account_block_it(given: FailedCall, account: AccountState):
    ending = classify_failed_call(given, now=NOW)

    assert isinstance(ending, Blocked)
    assert ending.account is account


@pytest.mark.parametrize(
    ("given", "wait_seconds"),
    [
        (failed_call(429, "rate_limit_exceeded"), None),
        (failed_call(429, "rate_limit_exceeded", headers={"retry-after": "3"}), 3.0),
        (failed_call(429, "rate_limit_exceeded", message="Please try again in 1.2s."), 1.2),
        (failed_call(429, "429", own_wait_seconds=2.5), 2.5),
        (failed_call(503, "slow_down", headers={"retry-after-ms": "10"}), 0.01),
        (failed_call(None, "rate_limit_exceeded"), None),
        (failed_call(429, headers={"x-should-retry": "true"}), None),
    ],
)
def test_a_limit_that_passes_throttles_with_the_servers_wait(given: FailedCall, wait_seconds: float | None):
    ending = classify_failed_call(given, now=NOW)

    assert isinstance(ending, Throttled)
    assert ending.wait_seconds == wait_seconds
    assert "Rate limit exceeded" in ending.message


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (failed_call(429, "rate_limit_exceeded", headers={"x-should-retry": "false"}), FailureKind.REJECTED_REQUEST),
        (failed_call(429, "rate_limit_exceeded", message="Request too large for gpt-4o"), FailureKind.REJECTED_REQUEST),
        (failed_call(400, "context_length_exceeded"), FailureKind.CONTEXT_TOO_LONG),
        (
            failed_call(400, None, message="This model's maximum context length is 8192 tokens"),
            FailureKind.CONTEXT_TOO_LONG,
        ),
        (failed_call(400, None, type="exceed_context_size_error"), FailureKind.CONTEXT_TOO_LONG),
        (failed_call(413), FailureKind.CONTEXT_TOO_LONG),
        (failed_call(400, "content_filter"), FailureKind.CONTENT_FILTERED),
        (failed_call(400, "invalid_prompt"), FailureKind.CONTENT_FILTERED),
        (failed_call(403, "403", message="Input was flagged by moderation"), FailureKind.CONTENT_FILTERED),
        (failed_call(400, "invalid_value"), FailureKind.REJECTED_REQUEST),
        (failed_call(403, "model_not_found"), FailureKind.REJECTED_REQUEST),
        (failed_call(404, "model_not_found"), FailureKind.REJECTED_REQUEST),
        (failed_call(422), FailureKind.REJECTED_REQUEST),
        (failed_call(301), FailureKind.REJECTED_REQUEST),
        (failed_call(None, None, type="invalid_request_error"), FailureKind.REJECTED_REQUEST),
        (FailedCall(reason=Reason.UNSENDABLE), FailureKind.REJECTED_REQUEST),
    ],
)
def test_what_no_retry_can_cure_is_a_failure(given: FailedCall, kind: object):
    ending = classify_failed_call(given, now=NOW)

    assert isinstance(ending, Failure)
    assert ending.kind is kind


@pytest.mark.parametrize(
    ("given", "timed_out"),
    [
        (failed_call(500, "server_error"), False),
        (failed_call(503, "server_is_overloaded"), False),
        (failed_call(529), False),
        (failed_call(409), False),
        (failed_call(425), False),
        (failed_call(408), True),
        (failed_call(504), True),
        (FailedCall(reason=Reason.TOO_LARGE, status_code=200), False),
        (failed_call(None, "server_error"), False),
        (failed_call(None), False),
        (FailedCall(reason=Reason.TIMED_OUT), True),
        (FailedCall(reason=Reason.CONNECTION), False),
        (FailedCall(reason=Reason.GARBLED, status_code=200), False),
    ],
)
def test_what_may_pass_is_transient(given: FailedCall, timed_out: object):
    ending = classify_failed_call(given, now=NOW)

    assert isinstance(ending, Transient)
    assert ending.timed_out is timed_out
    assert ending.status_code == given.status_code


@pytest.mark.parametrize(
    ("given", "is_unreached"),
    [
        (failed_call(502), True),
        (failed_call(503), True),
        (failed_call(521), True),
        (failed_call(500, None, message="litellm.InternalServerError: OpenAIException - Connection error."), True),
        (failed_call(503, None, message="upstream connect error or disconnect/reset before headers"), True),
        (failed_call(500, "server_error"), False),
        (failed_call(504), False),
        (FailedCall(reason=Reason.CONNECTION), False),
    ],
)
def test_a_gateway_that_does_not_reach_the_provider_is_told_from_a_provider_that_fails(
    given: FailedCall, is_unreached: object
):
    ending = classify_failed_call(given, now=NOW)

    assert isinstance(ending, Transient)
    assert ending.is_unreached is is_unreached


def test_a_server_error_keeps_the_servers_wait():
    ending = classify_failed_call(failed_call(503, headers={"retry-after": "5"}), now=NOW)

    assert isinstance(ending, Transient)
    assert ending.wait_seconds == 5.0


def test_an_empty_bucket_says_nothing_about_a_server_error():
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}

    limited = classify_failed_call(failed_call(429, headers=headers), now=NOW)
    failed = classify_failed_call(failed_call(500, headers=headers), now=NOW)

    assert isinstance(limited, Throttled)
    assert limited.wait_seconds == 360.0
    assert isinstance(failed, Transient)
    assert failed.wait_seconds is None


def test_the_providers_own_words_never_stand_in_a_message():
    words = "Incorrect API key provided: sk-secret. You sent: Anna's essay"

    for status in (None, 400, 401, 403, 404, 429, 500):
        ending = classify_failed_call(
            failed_call(status, "some code with Anna in it", message=words, param="Anna's"), now=NOW
        )

        assert not isinstance(ending, Success)
        assert "Anna" not in repr(ending)
        assert "sk-secret" not in repr(ending)
