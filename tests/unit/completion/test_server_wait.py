"""How long a server asks to wait: every source, their order, and nothing a server can send breaks it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.completion.errors.server_wait import MAX_WAIT_SECONDS, duration_seconds, server_wait_seconds

NOW = 1_700_000_000.0
"""Tue, 14 Nov 2023 22:13:20 GMT."""
EMPTY_REQUESTS = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}


@pytest.mark.parametrize(
    ("headers", "message", "own_seconds", "expected"),
    [
        ({}, "", None, None),
        ({"retry-after": "7"}, "", None, 7.0),
        ({"retry-after": "0"}, "", None, 0.0),
        ({"retry-after": " 2.5 "}, "", None, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", None, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, "", None, 9.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT"}, "", None, 60.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, "", None, 0.0),
        ({"retry-after": "Tue, 99 Nov 2023"}, "", None, None),
        ({"retry-after": "nan"}, "", None, None),
        ({"retry-after": "inf"}, "", None, None),
        ({"retry-after": "1e999"}, "", None, None),
        ({"retry-after": "-3"}, "", None, 0.0),
        ({"retry-after": "99999999999"}, "", None, None),
        ({}, "", 2.5, 2.5),
        ({}, "", math.nan, None),
        ({}, "", True, None),
        ({}, "", "2.5", None),
        ({"retry-after": "4"}, "", 2.5, 4.0),
        ({}, "Please try again in 1.2s. Visit the help page.", None, 1.2),
        ({}, "Please try again in 20ms.", None, 0.02),
        ({}, "Please try again in 6m0s.", None, 360.0),
        ({}, "Please retry after 6 seconds.", None, 6.0),
        ({}, "Please try again in a while.", None, None),
        ({}, "Please wait 20 seconds before trying again.", None, 20.0),
        ({}, "Retry in 2 minutes.", None, 120.0),
        ({}, "try again in 350 milliseconds", None, 0.35),
        ({}, "Please retry in 34.074824224s.", None, 34.074824224),
        ({}, "Retry-After: 7s", None, 7.0),
        ({}, '{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "5s"}', None, 5.0),
        ({}, "try again in 9999999 hours", None, None),
        ({"retry-after": "1795763845"}, "try again in 2s", None, 2.0),
        ({"retry-after": "1795763845000"}, "", None, None),
        ({"retry-after": "Wed, 01 Jan 2031 00:00:00 GMT"}, "", 3.0, 3.0),
        ({"retry-after": "86400"}, "", None, 86_400.0),
        ({"retry-after": "86401"}, "", None, None),
        ({}, "", 10**400, None),
        (EMPTY_REQUESTS | {"retry-after": "1", "x-ratelimit-reset-requests": "6m0s"}, "", None, 1.0),
        (EMPTY_REQUESTS | {"x-ratelimit-reset-requests": "1795763845"}, "", None, None),
        (EMPTY_REQUESTS, "", None, 90.0),
        (EMPTY_REQUESTS, "Please try again in 2s", None, 2.0),
        (EMPTY_REQUESTS | {"x-ratelimit-remaining-requests": "3"}, "", None, None),
        (
            EMPTY_REQUESTS | {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2m"},
            "",
            None,
            120.0,
        ),
    ],
)
def test_the_wait_comes_from_the_first_source_that_can_be_read(
    headers: dict[str, str], message: str, own_seconds: object, expected: object
):
    wait = server_wait_seconds(headers, message=message, own_seconds=own_seconds, now=NOW)

    assert wait == pytest.approx(expected) if expected is not None else wait is None


@pytest.mark.parametrize(
    ("in_details", "expected"),
    [("34.07s", 34.07), (3, 3.0), ("3", 3.0), (True, None), ("soon", None), ({}, None), (-1, 0.0), (1e12, None)],
)
def test_the_bodys_details_are_read_before_its_words(in_details: object, expected: object):
    wait = server_wait_seconds({}, in_details=in_details, now=NOW)

    assert wait == expected
    assert server_wait_seconds({"retry-after": "1"}, in_details=in_details, now=NOW) == 1.0
    assert server_wait_seconds({}, in_details="4s", message="try again in 9s", now=NOW) == 4.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", 1.0),
        ("12ms", 0.012),
        ("1h2m3.5s", 3723.5),
        ("250µs", 0.00025),
        ("17", 17.0),
        ("", None),
        ("s", None),
        ("1x", None),
        ("1s later", None),
        (None, None),
        (3, None),
    ],
)
def test_a_go_duration_is_read_exactly_or_not_at_all(text: object, expected: object):
    seconds = duration_seconds(text)

    assert seconds == pytest.approx(expected) if expected is not None else seconds is None


HEADER_VALUES = st.one_of(
    st.text(max_size=40),
    st.floats().map(str),
    st.integers().map(str),
    st.from_regex(r"\A[0-9]{1,400}(ms|s|m|h)?\Z"),
    st.datetimes().map(lambda when: when.strftime("%a, %d %b %Y %H:%M:%S GMT")),
)


@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "retry-after",
                "retry-after-ms",
                *(
                    f"x-ratelimit-{part}-{bucket}"
                    for part in ("remaining", "reset")
                    for bucket in ("requests", "tokens")
                ),
            ]
        ),
        HEADER_VALUES,
    ),
    message=st.one_of(st.text(max_size=60), HEADER_VALUES.map(lambda value: f"try again in {value}")),
    own_seconds=st.one_of(st.none(), st.floats(), st.integers(), st.text()),
    now=st.floats(min_value=0, max_value=4e9),
)
def test_whatever_a_server_sends_the_wait_is_finite_and_in_range(
    headers: dict[str, str], message: str, own_seconds: object, now: float
):
    wait = server_wait_seconds(headers, message=message, own_seconds=own_seconds, now=now)

    assert wait is None or (math.isfinite(wait) and 0 <= wait <= MAX_WAIT_SECONDS)
