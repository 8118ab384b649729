"""What a batch will cost before it is graded, as intervals. Nothing is enqueued, nothing is sent.

    prompts    counted; where this provider has answered the same schema and model before, by its own counts
    answers    as long as its earlier ones were; without any, from the shortest that the schema allows to the limit
    caching    from the beginning that all prompts share, where it is long enough
    twins      the same work is graded, and paid for, once

Answers of another provider say nothing; those of the stand-in are made up.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from producer.inputs.interval import Interval, interval_of_rest
from producer.inputs.token_counts import BY_KINDS
from workers.contract.lane import Lane
from workers.contract.model_parameters import output_limit
from workers.contract.outcome import Usage
from workers.contract.pictures import pictures_tokens, visible_text
from workers.contract.strict.samples import samples
from workers.contract.strict.schema import strict_schema
from workers.contract.twins import twin_key
from workers.store.earlier_answers import read_earlier_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from producer.inputs.token_counts import TokenCounter
    from workers.contract.job import JobSpec
    from workers.contract.model_profile import ModelProfile
    from workers.contract.registry import SchemaEntry
    from workers.store import Store
    from workers.store.earlier_answers import Graded

LEAST_CACHED_TOKENS = 1024
"""A shorter beginning is never cached. *Source*: OpenAI, prompt caching guide (read November 2026)."""
OTHER_WORK_DOUBT = 0.1
"""Answers about another assignment are longer or shorter, which those about one do not show."""
TOKENS_AROUND = 20
"""Of roles and separators, which a provider counts with each request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Jobs of one schema and model. Costs are US dollars, None when the price is unknown."""

    schema: str
    model: str
    jobs: int
    twins: int
    """Jobs that take another one's outcome, and cost nothing."""
    left_out: int
    """Students with nothing to grade: rows of the batch beside the jobs, never sent."""
    prompt_tokens: Interval
    completion_tokens: Interval
    is_first_run: bool
    """No earlier answer shows how long answers are: `likely` is only the middle of what is possible."""
    cost_usd: Interval | None
    most_cost_usd: float | None
    """Should every answer be as long as it may be, and nothing be read from a cache; without retries."""
    earlier_answers: int
    caching: str
    """One sentence."""
    counted_by: str

    def in_lane(self, lane: Lane) -> Interval | None:
        """The cost where every answer comes from this lane."""
        return None if self.cost_usd is None else self.cost_usd.times(lane.price_factor)

    def as_json(self) -> dict[str, object]:
        """Every field by name, and the cost in each cheaper lane."""
        costs = {lane: self.in_lane(lane) for lane in Lane}
        lanes = {str(lane): None if cost is None else asdict(cost) for lane, cost in costs.items()}
        return {**asdict(self), "lanes": lanes}


@dataclass(slots=True)
class _Group:
    """The jobs of one schema and model that will be sent."""

    jobs: int = 0
    left_out: int = 0
    keys: set[str] = field(default_factory=set)
    sent: int = 0
    characters: int = 0
    shared_characters: int = 0
    """Of them, in instructions."""
    instructions: set[str] = field(default_factory=set)
    prompt_tokens: int = 0
    limit_tokens: int = 0
    shared: str | None = None
    """The beginning that all prompts have in common."""

    def add(self, spec: JobSpec, fingerprint: str | None, counter: TokenCounter, profile: ModelProfile) -> None:
        """Without a fingerprint no job is another's twin."""
        if spec.left_out:
            self.left_out += 1
            return
        self.jobs += 1
        if fingerprint is not None:
            key = twin_key(spec, schema_fingerprint=fingerprint, context_hash=None)
            if key in self.keys:
                return
            self.keys.add(key)
        self.sent += 1
        visible = (spec.instructions or "", visible_text(spec.prompt, spec.instructions))
        self.characters += sum(map(len, spec.texts))
        if spec.instructions is not None:
            self.shared_characters += len(spec.instructions)
            self.instructions.add(spec.instructions)
        self.prompt_tokens += sum(map(counter.count, visible)) + pictures_tokens(
            spec.prompt, spec.instructions, profile
        )
        self.limit_tokens += output_limit(profile, spec.parameters.max_tokens, spec.parameters.effort)
        text = "".join(visible)
        self.shared = text if self.shared is None else _shared_beginning(self.shared, text)


def estimate_jobs(
    specs: Iterable[JobSpec],
    *,
    entries: Mapping[str, SchemaEntry],
    store: Store | None,
    provider: str,
    profile_of: Callable[[str], ModelProfile],
    counter: TokenCounter = BY_KINDS,
    has_twins: bool = True,
) -> list[Estimate]:
    """Estimate jobs by schema and model; `entries` resolves every schema name in them. Streams the specs once.

    `provider` is who would answer; `profile_of` knows its prices. With `has_twins`, the same work is paid for once.
    """
    groups: dict[tuple[str, str], _Group] = {}
    for spec in specs:
        profile = profile_of(spec.model)
        group = groups.setdefault((spec.schema, spec.model), _Group())
        group.add(spec, entries[spec.schema].fingerprint if has_twins else None, counter, profile)
    return [
        _Estimating(schema, model, group, entries[schema], provider, profile_of(model), counter).estimate(store)
        for (schema, model), group in sorted(groups.items())
    ]


@dataclass(slots=True)
class _Estimating:
    schema: str
    model: str
    group: _Group
    entry: SchemaEntry
    provider: str
    profile: ModelProfile
    counter: TokenCounter

    def estimate(self, store: Store | None) -> Estimate:
        earlier = self._earlier(store)
        prompt, completion = self._judged(earlier) if earlier else self._unjudged()
        shared_tokens = self.counter.count(self.group.shared or "") if self.group.sent > 1 else 0
        return Estimate(
            schema=self.schema,
            model=self.model,
            jobs=self.group.jobs,
            twins=self.group.jobs - self.group.sent,
            left_out=self.group.left_out,
            prompt_tokens=prompt,
            completion_tokens=completion,
            is_first_run=not earlier,
            cost_usd=self._judged_cost(earlier, prompt, completion) or self._cost(prompt, completion, shared_tokens),
            most_cost_usd=self._each_usd(prompt.high, self.group.limit_tokens, written=prompt.high),
            earlier_answers=len(earlier),
            caching=_caching(self.profile, shared_tokens, sent=self.group.sent),
            counted_by=self.counter.sentence(self.model),
        )

    def _earlier(self, store: Store | None) -> Sequence[Graded]:
        if store is None or not self.group.sent:
            return ()
        with store.snapshot() as connection:
            return read_earlier_answers(
                connection,
                schema_fingerprint=self.entry.fingerprint,
                model=self.model,
                provider=self.provider,
            )

    def _judged(self, earlier: Sequence[Graded]) -> tuple[Interval, Interval]:
        """Prompts by the provider's own tokens per character, answers as long as its earlier ones."""
        rates = [each.prompt_tokens / max(1, each.characters) for each in earlier]
        rate = sum(each.prompt_tokens for each in earlier) / max(1, sum(each.characters for each in earlier))
        spread = interval_of_rest(rates, self.group.sent)
        doubt = (spread.high - spread.likely) / max(spread.likely, 1e-9)
        completion = interval_of_rest([each.completion_tokens for each in earlier], self.group.sent)
        return _around(rate * self.group.characters, doubt), completion.widened(OTHER_WORK_DOUBT)

    def _judged_cost(self, earlier: Sequence[Graded], prompt: Interval, completion: Interval) -> Interval | None:
        """With the instructions read from the cache as often as earlier ones were; None where prices are unknown."""
        if not earlier or any(each.cost_usd is None for each in earlier):
            return None
        rate = prompt.likely / max(1, self.group.characters)
        were_shared = rate * sum(each.shared_characters for each in earlier)
        were_written = sum(each.cache_write_tokens for each in earlier)
        were_read = sum(each.cached_tokens for each in earlier)
        read_share = min(1.0, were_read / max(1.0, were_shared - were_written))
        shared = rate * self.group.shared_characters
        written = min(shared, rate * sum(map(len, self.group.instructions))) if were_written else 0.0
        read = read_share * (shared - written)
        if not were_shared:  # whole prompts: what of them was cached is known for all together
            sent = max(1, sum(each.prompt_tokens for each in earlier))
            read, written = (prompt.likely * tokens / sent for tokens in (were_read, were_written))
        low, likely, high = (
            self._each_usd(prompts, answers, read=read, written=written)
            for prompts, answers in (
                (prompt.low, completion.low),
                (prompt.likely, completion.likely),
                (prompt.high, completion.high),
            )
        )
        return None if low is None or likely is None or high is None else Interval(low, likely, high)

    def _unjudged(self) -> tuple[Interval, Interval]:
        """Nothing is known of this provider's answers."""
        sent = self.group.sent
        wire = strict_schema(self.entry.model)
        # the schema travels with every request; how much of it is counted as prompt, providers do not say
        schema_tokens = self.counter.count(json.dumps(wire))
        doubt = self.counter.doubt(self.model)
        low = self.group.prompt_tokens * (1 - doubt)
        high = self.group.prompt_tokens * (1 + doubt) + sent * (schema_tokens * (1 + doubt) + TOKENS_AROUND)
        shortest = self.counter.count(json.dumps(next(iter(samples(wire))), separators=(",", ":")))
        limit = self.group.limit_tokens
        return Interval(low, (low + high) / 2, high), Interval(min(sent * shortest, limit), limit / 2, limit)

    def _cost(self, prompt: Interval, completion: Interval, shared_tokens: int) -> Interval | None:
        """The cheapest is a shared beginning read from the cache; the dearest, every prompt written into it."""
        sent = self.group.sent
        may_cache = shared_tokens >= LEAST_CACHED_TOKENS
        read = shared_tokens * (sent - 1) if may_cache else 0
        is_long = prompt.high / max(1, sent) >= LEAST_CACHED_TOKENS
        written = prompt.high if self.profile.takes_cache_breakpoint and is_long else 0
        low = self._each_usd(prompt.low, completion.low, read=min(read, prompt.low))
        likely = self._each_usd(prompt.likely, completion.likely, read=min(read, prompt.likely))
        high = self._each_usd(prompt.high, completion.high, written=written)
        return None if low is None or likely is None or high is None else Interval(low, likely, high)

    def _each_usd(self, prompt: float, completion: float, *, read: float = 0, written: float = 0) -> float | None:
        """Of all requests: prices may change with a prompt's length, so one average answer is priced and multiplied."""
        sent, profile = max(1, self.group.sent), self.profile
        cached = round(read / sent) if profile.price_cached_input_usd_per_mtok is not None else 0
        write = round(written / sent) if profile.price_cache_write_usd_per_mtok is not None else 0
        prompt_tokens = round(prompt / sent)
        usage = Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=round(completion / sent),
            cached_tokens=min(cached, prompt_tokens),
            cache_write_tokens=min(write, prompt_tokens),
        )
        cost = profile.cost_usd(usage)
        return None if cost is None else cost * sent


def _shared_beginning(one: str, other: str) -> str:
    if other.startswith(one):
        return one
    differs_at = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    return one[: min(len(one), len(other)) if differs_at is None else differs_at]


def _around(likely: float, doubt: float) -> Interval:
    return Interval(likely * max(0.0, 1 - doubt), likely, likely * (1 + doubt))


def _caching(profile: ModelProfile, shared_tokens: int, *, sent: int) -> str:
    if profile.price_cached_input_usd_per_mtok is None:
        return "no cache price is known; reckoned without"
    if sent < 2:  # noqa: PLR2004 - one prompt shares nothing
        return "one request: nothing is read from the cache"
    if shared_tokens < LEAST_CACHED_TOKENS:
        return (
            f"nothing will be cached: the prompts share {shared_tokens:,} tokens at their beginning, and the least is "
            f"{LEAST_CACHED_TOKENS:,}"
        )
    return f"{shared_tokens:,} tokens at the beginning of each prompt may be read from the cache"
