"""The stand-in's invoice: what every answered call costs, by its own prices and its own arithmetic.

It is the judge of the product's ledger, so it shares no code and no price file with it. An answer is billed when it
was computed, whether or not the client stayed to read it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ops.standin.prompt_cache import CacheUse

_MILLION = 1_000_000
LIVE = "live"


@dataclass(slots=True)
class InvoiceLine:
    """All calls of one account, model, tier and lane."""

    account: str
    model: str
    tier: str
    lane: str = LIVE
    requests: int = 0
    input_tokens: int = 0
    """Neither read from the cache nor written into it."""
    read_tokens: int = 0
    written_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    """Part of output_tokens."""
    long_prompts: int = 0
    unpriced: int = 0
    """Calls of a model that has no price here."""
    usd: float = 0.0


class Invoice:
    """Lines since the start or the last reset."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, str, str], InvoiceLine] = {}
        self._calls: list[tuple[str, float]] = []
        """Request id and US dollars of every priced call."""

    def add(
        self,
        account: str,
        *,
        request_id: str,
        model: str,
        tier: str,
        usage: dict[str, Any],
        cache: CacheUse,
        lane: str = LIVE,
    ) -> None:
        """Bill one answer by its usage object."""
        line = self._lines.setdefault((account, model, tier, lane), InvoiceLine(account, model, tier, lane))
        prompt, output = usage["prompt_tokens"], usage["completion_tokens"]
        plain = prompt - cache.read_tokens - cache.written_tokens
        line.requests += 1
        line.input_tokens += plain
        line.read_tokens += cache.read_tokens
        line.written_tokens += cache.written_tokens
        line.output_tokens += output
        line.reasoning_tokens += usage["completion_tokens_details"]["reasoning_tokens"]
        price_list = _price_list()
        price = price_list["models"].get(model)
        if price is None:
            line.unpriced += 1
            return
        is_long = prompt > price_list["long_prompt"]["above_tokens"]
        line.long_prompts += is_long
        write = price.get("write_12h" if cache.written_ttl == "12h" else "write", price["input"])
        in_usd = plain * price["input"] + cache.read_tokens * price["read"] + cache.written_tokens * write
        out_usd = output * price["output"]
        if is_long:
            in_usd *= price_list["long_prompt"]["input"]
            out_usd *= price_list["long_prompt"]["output"]
        usd = (in_usd + out_usd) / _MILLION * price_list["tiers"][tier] * price_list["lanes"][lane]
        line.usd += usd
        self._calls.append((request_id, usd))

    def as_json(self, *, calls: bool = False) -> dict[str, Any]:
        """Every line, and the sum in US dollars; `calls` adds each call, in the order in which they were billed."""
        lines = sorted(self._lines.values(), key=lambda line: (line.account, line.model, line.tier, line.lane))
        return {
            "usd": sum(line.usd for line in lines),
            "requests": sum(line.requests for line in lines),
            "unpriced": sum(line.unpriced for line in lines),
            "lines": [asdict(line) for line in lines],
        } | ({"calls": self._calls} if calls else {})


@lru_cache(maxsize=1)
def _price_list() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files("ops.standin").joinpath("prices.json").read_text(encoding="utf-8"))
    return content
