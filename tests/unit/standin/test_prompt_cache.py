"""What the stand-in's prompt cache reads, writes and forgets, and what its invoice makes of it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from ops.standin.chat_request import ChatRequest, read_chat_request
from ops.standin.errors import ApiError
from ops.standin.invoice import Invoice
from ops.standin.prompt_cache import CacheUse, PromptCache

STATIC = "The rubric. " * 400
"""1,200 tokens."""


def read(messages: Any, *, model: str = "gpt-6.1-terra", **changes: Any) -> ChatRequest:
    request = {"model": model, "messages": messages} | changes
    return read_chat_request(json.dumps(request).encode(), any_model=False)


def parted(submission: str, *, mark: Any = "explicit", **changes: Any) -> ChatRequest:
    part = {"type": "text", "text": STATIC}
    if mark is not None:
        part["prompt_cache_breakpoint"] = {"mode": mark} if isinstance(mark, str) else mark
    messages = [{"role": "developer", "content": [part]}, {"role": "user", "content": submission}]
    return read(messages, **changes)


EXPLICIT = {"prompt_cache_key": "batch", "prompt_cache_options": {"mode": "explicit"}}


class Calls:
    """One account's calls, one after the other."""

    def __init__(self) -> None:
        self.cache = PromptCache()
        self.now = 0.0

    def use(self, asked: ChatRequest) -> CacheUse:
        key = ("account", asked.model.limit_name, asked.cache)
        tokens = self.cache.read(*key, now=self.now)
        return self.cache.write(*key, read_tokens=tokens, now=self.now)


def test_an_explicit_static_part_is_written_once_and_read_from_then_on():
    calls = Calls()
    uses = [calls.use(parted(f"program {n}", **EXPLICIT)) for n in range(3)]

    assert [(use.read_tokens, use.written_tokens) for use in uses] == [(0, 1200), (1200, 0), (1200, 0)]


def test_without_a_breakpoint_a_changing_submission_misses_every_time_and_pays_each_write():
    calls = Calls()
    uses = [calls.use(parted(f"program {n}", mark=None)) for n in range(3)]

    assert all(use.read_tokens == 0 and use.written_tokens > 1200 for use in uses)


def test_another_key_or_model_shares_nothing():
    calls = Calls()
    calls.use(parted("a", **EXPLICIT))

    assert calls.use(parted("b", **EXPLICIT | {"prompt_cache_key": "other"})).read_tokens == 0
    assert calls.use(parted("b", model="gpt-6-luna", **EXPLICIT)).read_tokens == 0


def test_a_prefix_is_forgotten_after_its_lifetime_unless_it_is_read():
    calls = Calls()
    for _ in range(3):
        calls.use(parted("a", **EXPLICIT))
        calls.now += 29 * 60
    assert calls.use(parted("b", **EXPLICIT)).read_tokens == 1200
    calls.now += 31 * 60
    assert calls.use(parted("c", **EXPLICIT)).read_tokens == 0


def test_twelve_hours_are_kept_and_billed_as_such():
    calls = Calls()
    long_lived = {"mode": "explicit", "ttl": "12h"}
    assert calls.use(parted("a", mark=long_lived, **EXPLICIT)).written_ttl == "12h"
    calls.now += 11 * 3600
    assert calls.use(parted("b", mark=long_lived, **EXPLICIT)).read_tokens == 1200


def test_a_short_static_part_is_never_cached():
    asked = read(
        [{"role": "user", "content": [{"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}]}],
        **EXPLICIT,
    )
    assert Calls().use(asked) == CacheUse()


def test_an_earlier_model_matches_blocks_by_itself_and_writes_for_free():
    calls = Calls()
    asked = [
        read([{"role": "user", "content": STATIC + f"program {n}" * 40}], model="gpt-4o", prompt_cache_key="batch")
        for n in range(2)
    ]

    assert calls.use(asked[0]) == CacheUse()
    assert calls.use(asked[1]) == CacheUse(read_tokens=1152)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "gpt-4o"}, "'prompt_cache_breakpoint' is not supported with this model"),
        ({"model": "gpt-4o", "mark": None, **EXPLICIT}, "'prompt_cache_options' is not supported with this model"),
        ({"mark": "implicit"}, "Supported values are: 'explicit'"),
        ({"mark": {"mode": "explicit", "ttl": "1h"}}, "Supported values are: '30m', and '12h'"),
        ({"mark": ["explicit"]}, "expected an object"),
        ({"prompt_cache_options": {"ttl": "12h"}}, "Supported values are: '30m'"),
        ({"prompt_cache_options": {"mode": "off"}}, "Supported values are: 'implicit', and 'explicit'"),
        ({"prompt_cache_options": {"size": 1}}, "Unknown parameter: 'prompt_cache_options.size'"),
    ],
)
def test_what_the_cache_does_not_take_is_refused(changes: dict[str, Any], words: str):
    with pytest.raises(ApiError) as refused:
        parted("a", **changes)
    assert refused.value.status == 400
    assert words in refused.value.message


def usage(prompt: int, output: int, reasoning: int = 0) -> dict[str, Any]:
    details = {"reasoning_tokens": reasoning}
    return {"prompt_tokens": prompt, "completion_tokens": output, "completion_tokens_details": details}


def test_an_invoice_prices_reads_writes_tiers_and_long_prompts():
    invoice = Invoice()
    bill = partial(invoice.add, "a", request_id="req")
    bill(model="gpt-6.1-terra", tier="default", usage=usage(2000, 100, 60), cache=CacheUse(0, 1200))
    bill(model="gpt-6.1-terra", tier="default", usage=usage(2000, 100, 60), cache=CacheUse(1200, 0))
    bill(model="gpt-6.1-terra", tier="priority", usage=usage(300_000, 100), cache=CacheUse())
    bill(model="standin", tier="default", usage=usage(10, 10), cache=CacheUse())
    written = invoice.as_json()

    short, long, unpriced = written["lines"]
    assert short["usd"] == pytest.approx((800 + 1200 * 1.25 + 500 + 800 + 1200 * 0.05 + 500) / 1e6)
    assert short["reasoning_tokens"] == 120
    assert (long["long_prompts"], long["usd"]) == (1, pytest.approx(2 * (300_000 * 2 + 500 * 1.5) / 1e6))
    assert (unpriced["unpriced"], unpriced["usd"]) == (1, 0.0)
    assert written["usd"] == pytest.approx(short["usd"] + long["usd"])
    calls = invoice.as_json(calls=True)["calls"]
    assert [request_id for request_id, _usd in calls] == ["req"] * 3
    assert sum(usd for _request_id, usd in calls) == pytest.approx(written["usd"])
