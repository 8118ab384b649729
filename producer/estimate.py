"""What a batch would cost before it is graded: tokens from the prompts, answers as long as earlier ones were.

Nothing is enqueued. Where no earlier answer of the same schema and model is known, only the most it can be is said.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.contract.model_profile import CHARACTERS_PER_TOKEN, estimate_tokens, load_profiles
from workers.contract.outcome import Usage
from workers.contract.strict_schema import strict_schema
from workers.store.experience import Experience, read_experience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from workers.contract.job import JobSpec
    from workers.contract.registry import SchemaEntry
    from workers.settings import Settings
    from workers.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Jobs of one schema and model. Costs are US dollars, None when the price is unknown."""

    schema: str
    model: str
    jobs: int
    prompt_tokens: int
    likely_completion_tokens: int | None
    """None without earlier answers to judge by."""
    most_completion_tokens: int
    likely_cost_usd: float | None
    most_cost_usd: float | None
    earlier_answers: int


def estimate_jobs(
    specs: Iterable[JobSpec], *, entries: Mapping[str, SchemaEntry], store: Store | None, settings: Settings
) -> list[Estimate]:
    """Estimate jobs by schema and model; `entries` resolves every schema name in them. Streams the specs once."""
    jobs: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for spec in specs:
        counts = jobs[spec.schema, spec.model]
        counts[0] += 1
        counts[1] += estimate_tokens(spec.prompt)
        counts[2] += spec.parameters.max_tokens
    return [
        _estimate(schema, model, counts, entry=entries[schema], store=store, settings=settings)
        for (schema, model), counts in sorted(jobs.items())
    ]


def _estimate(
    schema: str, model: str, counts: list[int], *, entry: SchemaEntry, store: Store | None, settings: Settings
) -> Estimate:
    count, prompt_tokens, most_completion_tokens = counts
    experience = _experience(store, entry.fingerprint, model)
    if experience is not None:
        prompt_tokens = round(prompt_tokens * CHARACTERS_PER_TOKEN * experience.prompt_tokens_per_character)
    else:
        # the schema travels with every request and is counted as prompt
        prompt_tokens += count * estimate_tokens(json.dumps(strict_schema(entry.model)))
    likely = round(count * experience.completion_tokens) if experience else None
    price = load_profiles(settings.model_profiles).find(model, settings.provider).cost_usd
    return Estimate(
        schema=schema,
        model=model,
        jobs=count,
        prompt_tokens=prompt_tokens,
        likely_completion_tokens=likely,
        most_completion_tokens=most_completion_tokens,
        likely_cost_usd=None if likely is None else _cost(price, count, prompt_tokens, likely),
        most_cost_usd=_cost(price, count, prompt_tokens, most_completion_tokens),
        earlier_answers=experience.answers if experience else 0,
    )


def _cost(
    price: Callable[[Usage], float | None], jobs: int, prompt_tokens: int, completion_tokens: int
) -> float | None:
    """Prices may change with a prompt's length, so one average answer is priced and multiplied."""
    each = Usage(prompt_tokens=round(prompt_tokens / jobs), completion_tokens=round(completion_tokens / jobs))
    cost = price(each)
    return None if cost is None else cost * jobs


def _experience(store: Store | None, fingerprint: str, model: str) -> Experience | None:
    if store is None:
        return None
    with store.snapshot() as connection:
        return read_experience(connection, schema_fingerprint=fingerprint, model=model)
