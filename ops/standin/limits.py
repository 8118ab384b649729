"""Rate limits charged at admission: two token buckets, requests and tokens, per account and model.

Time comes in as an argument, never from a clock. A bucket's level may fall below zero, by refused calls that count and
by one request larger than a slice; it recovers at the limit's rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.standin.errors import RATE_LIMIT_HELP, ApiError, request_too_large
from ops.standin.go_duration import go_duration

if TYPE_CHECKING:
    from ops.standin.config import Config

_SECONDS_PER_MINUTE = 60.0
# A wait computed in floating point may end a hair before the bucket holds the amount.
_TOLERANCE = 1e-6


@dataclass(slots=True)
class Bucket:
    """One limit: `limit` a minute, `capacity` at most at once, refilled continuously."""

    limit: int
    capacity: float
    level: float
    refilled_at: float
    """Seconds on the caller's clock."""

    def refill(self, now: float, *, foreign_share: float) -> None:
        """Add what the time since the last refill brought; other clients took their share of it."""
        own_rate = self._rate * (1 - foreign_share)
        self.level = min(self.capacity, self.level + (now - self.refilled_at) * own_rate)
        self.refilled_at = now

    def holds(self, amount: float) -> bool:
        """Whether this amount may be taken now; more than a full bucket is admitted from a full bucket."""
        return self.level + _TOLERANCE >= min(amount, self.capacity)

    def take(self, amount: float) -> None:
        """Charge, into debt if need be; debt ends at one full bucket, so that a limit's memory is finite."""
        self.level = max(self.level - amount, -max(self.capacity, amount))

    def wait_seconds(self, amount: float) -> float:
        """Until the bucket would hold this amount if nobody else called: what the provider can promise."""
        return max(0.0, min(amount, self.capacity) - self.level) / self._rate

    def reset_seconds(self) -> float:
        """Until the bucket is full."""
        return (self.capacity - self.level) / self._rate

    def remaining(self) -> int:
        """Whole units left, never negative."""
        return max(0, math.floor(self.level + _TOLERANCE))

    @property
    def _rate(self) -> float:
        return self.limit / _SECONDS_PER_MINUTE


@dataclass(slots=True)
class _Buckets:
    requests: Bucket | None
    tokens: Bucket | None

    def named(self) -> list[tuple[str, Bucket]]:
        pairs = (("requests", self.requests), ("tokens", self.tokens))
        return [(name, bucket) for name, bucket in pairs if bucket is not None]


_ABBREVIATIONS = {"requests": "RPM", "tokens": "TPM"}


class Limiter:
    """The limits of every (account, model) that ever called."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._buckets: dict[tuple[str, str], _Buckets] = {}

    def change(self, config: Config, *, now: float) -> None:
        """Apply new limits from now on; what the buckets hold stays, cut to the new capacity."""
        for key, old in self._buckets.items():
            self._refill(old, now)
            self._buckets[key] = _Buckets(
                _resized(old.requests, limit=config.rpm, config=config, now=now),
                _resized(old.tokens, limit=config.tpm, config=config, now=now),
            )
        self._config = config

    def check(self, account: str, *, model: str, cost_tokens: int, now: float) -> None:
        """Return when the call may pass; raise the 429 that OpenAI would send when it may not.

        Nothing is charged for a call that may pass: `charge` does that, unless something else refuses it first.
        """
        buckets = self._current(account, model, now)
        if buckets.tokens is not None and cost_tokens > buckets.tokens.limit:
            self._charge_refused(buckets)
            raise request_too_large(model, limit_tokens=buckets.tokens.limit, requested_tokens=cost_tokens)
        costs = {"requests": 1, "tokens": cost_tokens}
        for name, bucket in buckets.named():
            if not bucket.holds(costs[name]):
                refusal = self._refusal(name, bucket, model=model, cost=costs[name])
                self._charge_refused(buckets)
                raise refusal

    def charge(self, account: str, *, model: str, cost_tokens: int, now: float) -> None:
        """Take one request and its tokens from the buckets."""
        costs = {"requests": 1, "tokens": cost_tokens}
        for name, bucket in self._current(account, model, now).named():
            bucket.take(costs[name])

    def headers(self, account: str, *, model: str, now: float) -> dict[str, str]:
        """The x-ratelimit-* headers of this moment; empty without limits, or where they are switched off."""
        headers: dict[str, str] = {}
        if not self._config.limit_headers:
            return headers
        for name, bucket in self._current(account, model, now).named():
            headers[f"x-ratelimit-limit-{name}"] = str(bucket.limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(bucket.remaining())
            headers[f"x-ratelimit-reset-{name}"] = go_duration(bucket.reset_seconds())
        return headers

    def _current(self, account: str, model: str, now: float) -> _Buckets:
        buckets = self._buckets.get((account, model))
        if buckets is None:
            buckets = _Buckets(
                _full(self._config.rpm, config=self._config, now=now),
                _full(self._config.tpm, config=self._config, now=now),
            )
            self._buckets[account, model] = buckets
        self._refill(buckets, now)
        return buckets

    def _refill(self, buckets: _Buckets, now: float) -> None:
        for _, bucket in buckets.named():
            bucket.refill(now, foreign_share=self._config.foreign_share)

    def _charge_refused(self, buckets: _Buckets) -> None:
        # As a request only: what refused calls cost in tokens is not documented anywhere.
        if self._config.charge_refused and buckets.requests is not None:
            buckets.requests.take(1)

    def _refusal(self, name: str, bucket: Bucket, *, model: str, cost: int) -> ApiError:
        wait_seconds = bucket.wait_seconds(cost)
        used = min(bucket.limit, bucket.limit - bucket.remaining())
        message = (
            f"Rate limit reached for {model} in organization org-standin on {name} per min ({_ABBREVIATIONS[name]}): "
            f"Limit {bucket.limit}, Used {used}, Requested {cost}. Please try again in {go_duration(wait_seconds)}. "
            f"{RATE_LIMIT_HELP}"
        )
        headers = wait_headers(wait_seconds, config=self._config)
        return ApiError(429, message, kind=name, code="rate_limit_exceeded", headers=headers)


def wait_headers(wait_seconds: float, *, config: Config) -> dict[str, str]:
    """The headers that tell a refused client how long to wait, as far as they are switched on."""
    headers: dict[str, str] = {}
    if config.retry_after:
        headers["Retry-After"] = str(max(1, math.ceil(wait_seconds)))
    if config.retry_after_ms:
        headers["retry-after-ms"] = str(max(1, math.ceil(wait_seconds * 1_000)))
    return headers


def _full(limit: int | None, *, config: Config, now: float) -> Bucket | None:
    if limit is None:
        return None
    capacity = limit * config.slice_seconds / _SECONDS_PER_MINUTE
    # A bucket below one request would say "none remaining" even when it is full.
    capacity = max(1.0, capacity)
    return Bucket(limit=limit, capacity=capacity, level=capacity, refilled_at=now)


def _resized(old: Bucket | None, *, limit: int | None, config: Config, now: float) -> Bucket | None:
    new = _full(limit, config=config, now=now)
    if new is not None and old is not None:
        new.level = min(new.capacity, old.level)
    return new
