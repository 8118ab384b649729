"""Whatever a peer says about itself, what leaves the core fits a store's columns and a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.completion.peer_values import MAX_RAW_CHARACTERS, count_of, detail_of, name_of, raw_text_of
from workers.completion.transport.response_note import RateLimits, plain_headers, rate_limits_of, request_id_of


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=600) | st.none() | st.integers())
def test_a_name_is_short_printable_and_can_be_encoded(value: object):
    name = name_of(value)

    assert name is None or (0 < len(name) <= 255 and name.isprintable() and name.encode())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("r" * 400, "r" * 255),
        ("a\x00b\x1b[31m\ud800\u202ec", "ab[31mc"),
        ("\x00", None),
        ("  ", None),
        (b"bytes", None),
        (True, None),
    ],
)
def test_a_name_keeps_what_can_be_kept(value: object, expected: str | None):
    assert name_of(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((0, 0), (7, 7), (2**31 - 1, 2**31 - 1), (2**31, 2**31 - 1), (10**10, 2**31 - 1)),
        *((-1, None), (True, None), ("7", None), (7.0, None)),
    ],
)
def test_a_count_is_one_that_a_column_holds(value: object, expected: int | None):
    assert count_of(value) == expected


def test_raw_text_is_bounded_and_storable():
    assert raw_text_of("a\x00\ud800b") == "a\ufffd\ufffdb"
    assert len(raw_text_of("x" * 10**6) or "") == MAX_RAW_CHARACTERS
    assert raw_text_of(None) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=900),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=9), inner, max_size=30),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["type", "loc", "msg", "input", "ctx"]), JSON))
def test_a_validation_error_stays_small_whatever_it_quotes(error: dict[str, object]):
    kept = detail_of(error)

    written = json.dumps(kept)
    assert "\\u0000" not in written
    assert set(kept) <= set(error)
    assert len(json.dumps(kept.get("input", ""))) <= 4_000 or isinstance(kept["input"], int)


def test_a_validation_error_does_not_carry_the_whole_answer():
    kept = detail_of({"type": "missing", "loc": ["score"], "msg": "Field required", "input": {"text": "x" * 10**6}})

    assert kept == {"type": "missing", "loc": ["score"], "msg": "Field required"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-request-id": "req", "cf-ray": "ray"}, "req"),
        ({"Request-Id": "req"}, "req"),
        ({"apim-request-id": "req"}, "req"),
        ({"x-ms-request-id": "req"}, "req"),
        ({"x-litellm-call-id": "call"}, "call"),
        ({"x-litellm-call-id": "call", "llm_provider-x-request-id": "req"}, "req"),
        ({"x-request-id": "\x00"}, None),
        ({}, None),
    ],
)
def test_the_providers_own_request_id_is_found(headers: dict[str, str], expected: str | None):
    assert request_id_of(plain_headers(headers.items())) == expected


def test_a_gateways_forwarded_headers_count_where_it_has_none_of_its_own():
    headers = plain_headers({
        "llm_provider-retry-after": "3",
        "x-ratelimit-remaining-requests": "7",
        "llm_provider-x-ratelimit-remaining-requests": "7",
        "llm_provider-x-ratelimit-reset-requests": "20ms",
        "x-ratelimit-remaining-tokens": "5",
        "llm_provider-x-ratelimit-remaining-tokens": "90000",
        "llm_provider-x-ratelimit-reset-tokens": "6m0s",
    }.items())  # fmt: skip

    assert headers["retry-after"] == "3"
    assert rate_limits_of(headers) == RateLimits(
        remaining_requests=7, reset_requests_seconds=0.02, remaining_tokens=5, reset_tokens_seconds=None
    )
    own = plain_headers({"retry-after": "1", "llm_provider-retry-after": "3"}.items())
    assert own["retry-after"] == "1"


def test_a_reset_that_is_an_hour_of_the_clock_is_no_duration():
    assert rate_limits_of(
        {"x-ratelimit-limit-requests": "9", "x-ratelimit-reset-requests": "1795763845"}
    ) == RateLimits(limit_requests=9)


@pytest.mark.parametrize(
    ("limits", "wait_seconds", "is_kept"),
    [
        (RateLimits(remaining_tokens=0, reset_tokens_seconds=360.0), 1.0, False),
        (RateLimits(remaining_requests=0, reset_requests_seconds=360.0), 1.0, False),
        (RateLimits(remaining_tokens=0, reset_tokens_seconds=360.0), None, True),
        (RateLimits(remaining_tokens=0, reset_tokens_seconds=86_400.0), 432.0, True),
        (RateLimits(remaining_tokens=0, reset_tokens_seconds=59.0), 1.0, True),
        (RateLimits(remaining_tokens=5, reset_tokens_seconds=360.0), 1.0, True),
    ],
)
def test_a_reset_that_the_servers_own_wait_contradicts_is_forgotten(
    limits: RateLimits, wait_seconds: float | None, is_kept: object
):
    kept = limits.without_contradicted_resets(wait_seconds)

    assert (kept == limits) is is_kept
    assert is_kept or (kept.reset_tokens_seconds, kept.reset_requests_seconds) == (None, None)
