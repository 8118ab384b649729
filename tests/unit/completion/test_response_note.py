"""Status and headers reach the call they belong to, and the buckets are read from them."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.completion.transport.response_note import RateLimits, note_response, noting_response, rate_limits_of

FULL = {
    "x-ratelimit-limit-requests": "3000",
    "x-ratelimit-remaining-requests": "2999",
    "x-ratelimit-reset-requests": "20ms",
    "x-ratelimit-limit-tokens": "200000",
    "x-ratelimit-remaining-tokens": "195000",
    "x-ratelimit-reset-tokens": "1m1.5s",
}


def test_all_buckets_are_read():
    assert rate_limits_of(FULL) == RateLimits(
        limit_requests=3000,
        remaining_requests=2999,
        reset_requests_seconds=0.02,
        limit_tokens=200_000,
        remaining_tokens=195_000,
        reset_tokens_seconds=61.5,
    )


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-request-id": "r1"}, None),
        ({"x-ratelimit-limit-requests": "many"}, None),
        ({"x-ratelimit-remaining-tokens": "-5"}, RateLimits(remaining_tokens=0)),
        ({"x-ratelimit-limit-requests": "7", "x-ratelimit-limit-tokens": "1e9"}, RateLimits(limit_requests=7)),
    ],
)
def test_what_is_missing_or_unreadable_is_none(headers: dict[str, str], expected: RateLimits | None):
    assert rate_limits_of(headers) == expected


@given(st.dictionaries(st.sampled_from(sorted(FULL)), st.one_of(st.text(), st.integers().map(str))))
def test_no_header_breaks_the_reading(headers: dict[str, str]):
    limits = rate_limits_of(headers)

    assert limits is None or (limits.remaining_requests or 0) >= 0


def response(status: int, request_id: str) -> httpx2.Response:
    return httpx2.Response(status, headers={"X-Request-Id": request_id})


async def test_calls_side_by_side_note_their_own_response():
    async def call(number: int) -> tuple[int | None, str]:
        with noting_response() as note:
            await asyncio.sleep(0)
            await note_response(response(200 + number, f"r{number}"))
            await asyncio.sleep(0)
            return note.status_code, note.headers["x-request-id"]

    noted = await asyncio.gather(*(call(number) for number in range(20)))

    assert noted == [(200 + number, f"r{number}") for number in range(20)]


async def test_a_response_that_nobody_waits_for_is_not_noted():
    with noting_response() as note:
        pass

    await note_response(response(200, "r1"))

    assert note.status_code is None
