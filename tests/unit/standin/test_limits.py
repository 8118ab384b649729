"""Rate limits: charged at admission, refilled continuously, refused in OpenAI's words. Time is an argument here."""

import pytest

from ops.standin.config import Config
from ops.standin.errors import ApiError
from ops.standin.limits import Limiter

GPT = {"model": "gpt-4o"}


def admit(limiter: Limiter, *, now: float, cost_tokens: int = 1, account: str = "a", model: str = "gpt-4o") -> None:
    limiter.check(account, model=model, cost_tokens=cost_tokens, now=now)
    limiter.charge(account, model=model, cost_tokens=cost_tokens, now=now)


def admitted_of(limiter: Limiter, *, calls: int, now: float, cost_tokens: int = 1) -> int:
    admitted = 0
    for _ in range(calls):
        try:
            admit(limiter, now=now, cost_tokens=cost_tokens)
        except ApiError:
            continue
        admitted += 1
    return admitted


def refusal_of(limiter: Limiter, *, now: float, cost_tokens: int = 1) -> ApiError:
    with pytest.raises(ApiError) as refusal:
        admit(limiter, now=now, cost_tokens=cost_tokens)
    return refusal.value


def test_a_full_minute_passes_at_once_and_then_what_time_brings():
    limiter = Limiter(Config(rpm=60, charge_refused=False))
    assert admitted_of(limiter, calls=100, now=0.0) == 60
    assert admitted_of(limiter, calls=100, now=10.0) == 10


def test_a_slice_bounds_the_burst_and_not_the_rate():
    limiter = Limiter(Config(rpm=600, slice_seconds=1.0, charge_refused=False))
    assert admitted_of(limiter, calls=100, now=0.0) == 10
    assert sum(admitted_of(limiter, calls=100, now=float(second)) for second in range(1, 61)) == 600


def test_the_refusal_speaks_as_openai_does_and_names_the_wait():
    limiter = Limiter(Config(rpm=60, charge_refused=False))
    admitted_of(limiter, calls=60, now=0.0)
    refusal = refusal_of(limiter, now=0.25)
    assert (refusal.status, refusal.kind, refusal.code) == (429, "requests", "rate_limit_exceeded")
    assert refusal.message == (
        "Rate limit reached for gpt-4o in organization org-standin on requests per min (RPM): Limit 60, Used 60, "
        "Requested 1. Please try again in 750ms. Visit https://platform.openai.com/account/rate-limits to learn more."
    )
    assert refusal.headers == {"Retry-After": "1"}


def test_who_waits_as_told_is_admitted():
    limiter = Limiter(Config(rpm=7, charge_refused=False))
    admitted_of(limiter, calls=7, now=0.0)
    assert "in 8.572s" in refusal_of(limiter, now=0.0).message
    admit(limiter, now=8.572)
    refusal_of(limiter, now=8.573)


def test_the_wait_headers_can_be_switched():
    limiter = Limiter(Config(tpm=60, retry_after=False, retry_after_ms=True, charge_refused=False))
    admit(limiter, now=0.0, cost_tokens=60)
    assert refusal_of(limiter, now=0.0, cost_tokens=2).headers == {"retry-after-ms": "2000"}


def test_tokens_are_charged_beside_requests():
    limiter = Limiter(Config(rpm=1000, tpm=1000))
    admit(limiter, now=0.0, cost_tokens=900)
    refusal = refusal_of(limiter, now=0.0, cost_tokens=200)
    assert (refusal.kind, refusal.code) == ("tokens", "rate_limit_exceeded")
    assert "on tokens per min (TPM): Limit 1000, Used 900, Requested 200. Please try again in 6s." in refusal.message


def test_a_request_above_the_whole_limit_is_too_large_for_ever():
    refusal = refusal_of(Limiter(Config(tpm=1000)), now=0.0, cost_tokens=1001)
    assert refusal.status == 429
    assert refusal.message.startswith(
        "Request too large for gpt-4o in organization org-standin on tokens per min (TPM)"
    )
    assert refusal.headers == {"x-should-retry": "false"}


def test_a_request_above_a_slice_passes_from_a_full_bucket_and_is_paid_off():
    limiter = Limiter(Config(tpm=600, slice_seconds=1.0))
    admit(limiter, now=0.0, cost_tokens=60)
    refusal_of(limiter, now=5.9, cost_tokens=10)
    admit(limiter, now=6.1, cost_tokens=10)


def test_refused_calls_count_as_requests_only_when_they_are_charged():
    charged, free = (Limiter(Config(rpm=60, charge_refused=counts)) for counts in (True, False))
    for limiter in (charged, free):
        admitted_of(limiter, calls=70, now=0.0)
    assert admitted_of(free, calls=1, now=1.0) == 1
    assert admitted_of(charged, calls=1, now=1.0) == 0


def test_the_debt_of_refused_calls_ends_at_one_full_bucket():
    limiter = Limiter(Config(rpm=60))
    admitted_of(limiter, calls=100_000, now=0.0)
    assert admitted_of(limiter, calls=1, now=61.1) == 1


def test_foreign_traffic_takes_its_share_of_the_refill():
    limiter = Limiter(Config(rpm=600, foreign_share=0.3, charge_refused=False))
    admitted_of(limiter, calls=600, now=0.0)
    assert admitted_of(limiter, calls=600, now=30.0) == 210


def test_accounts_and_models_have_limits_of_their_own():
    limiter = Limiter(Config(rpm=1))
    for account, model in (("a", "gpt-4o"), ("b", "gpt-4o"), ("a", "gpt-4.1")):
        admit(limiter, now=0.0, account=account, model=model)
    with pytest.raises(ApiError):
        admit(limiter, now=0.0, account="b")


def test_headers_tell_limit_remaining_and_the_time_until_full():
    limiter = Limiter(Config(rpm=60, tpm=60_000))
    admit(limiter, now=0.0, cost_tokens=12_000)
    assert limiter.headers("a", **GPT, now=0.5) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "500ms",
        "x-ratelimit-limit-tokens": "60000",
        "x-ratelimit-remaining-tokens": "48500",
        "x-ratelimit-reset-tokens": "11.5s",
    }


def test_a_slice_below_one_request_still_shows_that_one_remains():
    limiter = Limiter(Config(rpm=6, slice_seconds=1.0))
    assert limiter.headers("a", **GPT, now=0.0)["x-ratelimit-remaining-requests"] == "1"
    assert sum(admitted_of(limiter, calls=1, now=float(second)) for second in range(0, 60, 10)) == 6


def test_without_limits_there_are_no_headers_and_no_refusals():
    limiter = Limiter(Config())
    assert admitted_of(limiter, calls=1000, now=0.0, cost_tokens=10**9) == 1000
    assert limiter.headers("a", **GPT, now=0.0) == {}


def test_halving_and_restoring_a_limit_keeps_what_was_used():
    limiter = Limiter(Config(rpm=600, charge_refused=False))
    admitted_of(limiter, calls=600, now=0.0)
    limiter.change(Config(rpm=300, charge_refused=False), now=10.0)
    assert admitted_of(limiter, calls=600, now=10.0) == 100
    assert admitted_of(limiter, calls=600, now=20.0) == 50
    limiter.change(Config(rpm=600, charge_refused=False), now=20.0)
    assert admitted_of(limiter, calls=600, now=30.0) == 100
