"""What a batch will cost: intervals, from what this provider has answered before and from nothing else."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from sqlalchemy import insert

from producer import JobClient
from producer.inputs.estimate import Estimate, estimate_jobs
from producer.inputs.interval import interval_of_rest
from producer.inputs.token_counts import BY_KINDS, best_counter
from producer.terminal.estimates import estimates_table
from workers.contract.job import JobParameters, JobSpec
from workers.contract.model_profile import load_profiles
from workers.contract.registry import builtin_registry
from workers.settings import Settings
from workers.store.sql import new_id
from workers.store.tables import attempts, jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from workers.store import Store

MODEL = "gpt-6.1-terra"
USD_IN, USD_OUT = 1e-6, 5e-6
RUBRIC = "Take off points for every missing test, and say which. " * 100


def specs_of(count: int, *, prompt: str = "Grade: {}", max_tokens: int = 1000) -> list[JobSpec]:
    return [
        JobSpec(
            id=str(number),
            prompt=prompt.format(f"print({number})"),
            schema="feedback",
            model=MODEL,
            parameters=JobParameters(max_tokens=max_tokens),
        )
        for number in range(count)
    ]


def settings_at(base_url: str | None = None) -> Settings:
    return Settings(openai_base_url=base_url)


def estimated(specs: Sequence[JobSpec], store: Store | None = None, settings: Settings | None = None) -> Estimate:
    registry = builtin_registry()
    entries = {name: registry.resolve(name, None) for name in ("feedback",)}
    at = settings or settings_at()
    [found] = estimate_jobs(
        specs,
        entries=entries,
        store=store,
        provider=at.provider,
        profile_of=lambda model: load_profiles().find(model, at.provider_host),
    )
    return found


def graded(store: Store, specs: Sequence[JobSpec], *, provider: str, name: str = "b", shared: int = 0) -> float:
    """As if a worker had graded them, with so many tokens written into the cache once, then read; returns the bill."""
    client = JobClient(store=store, publisher=None, registry=builtin_registry(), provider=provider)
    client.enqueue(specs, name=name, twins=False)
    bill = 0.0
    with store.transaction() as connection:
        for job in connection.execute(jobs.select()).all():
            own_tokens, completion_tokens = len(job.prompt) // 3 + (0 if shared else 90), 200 + job.position % 40
            is_first = bill == 0.0
            shared_usd = shared * USD_IN * (1.25 if is_first else 0.05)
            cost_usd = own_tokens * USD_IN + shared_usd + completion_tokens * USD_OUT
            prompt_tokens = own_tokens + shared
            cached = {"cached_tokens": 0 if is_first else shared, "cache_write_tokens": shared if is_first else 0}
            bill += cost_usd
            connection.execute(
                insert(attempts).values(
                    id=new_id(), job_id=job.id, batch_id=job.batch_id, round=1, claim=1, worker_id="w", purpose="grade",
                    model=job.model, opened_at=now_seconds(), closed_at=now_seconds(), ending="answered",
                    prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, reasoning_tokens=0,
                    cost_usd=cost_usd, **cached,
                )
            )  # fmt: skip
    return bill


def test_a_first_run_is_an_honest_interval(store: Store):
    found = estimated(specs_of(20), store)
    assert found.is_first_run
    assert found.cost_usd is not None
    assert found.most_cost_usd is not None
    assert 0 < found.cost_usd.low < found.cost_usd.high <= found.most_cost_usd
    assert found.completion_tokens.high == 20 * 1000
    assert 20 * 5 < found.completion_tokens.low < 20 * 100


def test_a_second_run_is_within_a_few_percent_of_the_bill(store: Store):
    bill = graded(store, specs_of(60), provider="api.openai.com")
    found = estimated(specs_of(60), store)
    assert found.cost_usd is not None
    assert not found.is_first_run
    assert found.earlier_answers == 60
    assert found.cost_usd.likely == pytest.approx(bill, rel=0.02)
    assert found.cost_usd.low < bill < found.cost_usd.high


def test_an_assignment_with_another_share_of_instructions_is_reckoned_with_its_own_cache(store: Store):
    def assignment(count: int, *, rubric: int, work: int) -> list[JobSpec]:
        specs = specs_of(count, prompt="{} " + "x" * work)
        return [replace(spec, instructions="R" * rubric) for spec in specs]

    graded(store, assignment(40, rubric=12_000, work=300), provider="api.openai.com", shared=4_000)
    found = estimated(assignment(80, rubric=6_000, work=9_000), store)

    due = 80 * (9_009 / 3 * USD_IN + 219.5 * USD_OUT) + 2_000 * USD_IN * (1.25 + 79 * 0.05)
    assert found.cost_usd is not None
    assert found.cost_usd.likely == pytest.approx(due, rel=0.05)


@pytest.mark.parametrize("provider", ["standin", "other.example"])
def test_answers_of_another_provider_and_of_the_stand_in_never_count(store: Store, provider: str):
    graded(store, specs_of(5), provider=provider)
    assert estimated(specs_of(5), store).is_first_run


def test_the_same_work_is_paid_for_once(store: Store):
    specs = [replace(spec, prompt="Grade: print(1)") for spec in specs_of(10)]
    found = estimated(specs, store)
    assert (found.jobs, found.twins) == (10, 9)
    assert found.completion_tokens.high == 1000


def test_a_short_shared_beginning_is_said_not_to_be_cached():
    assert "nothing will be cached: the prompts share" in estimated(specs_of(3)).caching
    long = estimated(specs_of(3, prompt=RUBRIC + "{}"))
    assert "may be read from the cache" in long.caching
    assert long.cost_usd is not None
    assert long.most_cost_usd is not None
    assert long.cost_usd.low < long.most_cost_usd


def test_a_model_without_a_price_costs_an_unknown_amount():
    found = estimated(specs_of(2), settings=settings_at("http://127.0.0.1:8000/v1"))
    assert (found.cost_usd, found.most_cost_usd) == (None, None)


def test_another_companys_model_is_said_to_be_a_guess():
    assert "a guess" in BY_KINDS.sentence("llama-3")
    assert "a guess" not in BY_KINDS.sentence("openai/gpt-6.1-terra")
    assert BY_KINDS.doubt("llama-3") > BY_KINDS.doubt(MODEL) > best_counter().doubt(MODEL)


def test_the_tokenizer_takes_any_text_of_a_student():
    counter = best_counter()
    assert counter.is_tokenizer, "the lock of this project installs it"
    assert counter.count("<|endoftext|> hello") > 2
    assert counter.count("") == 0


def test_few_answers_give_a_wide_interval_and_many_a_narrow_one():
    few, many = interval_of_rest([1.0, 1.2], 100), interval_of_rest([1.0, 1.2] * 50, 100)
    assert few.low < many.low < 110 < many.high < few.high


def test_an_estimate_is_ready_for_json(tmp_path: Path):
    (tmp_path / "e.json").write_text(json.dumps(estimated(specs_of(2)).as_json()))
    assert json.loads((tmp_path / "e.json").read_text())["prompt_tokens"]["likely"] > 0


def test_who_left_nothing_to_grade_is_no_job_and_costs_nothing(store: Store):
    nothing = [replace(spec, id=f"n{spec.id}", prompt="", left_out="pictures only") for spec in specs_of(5)]
    graded(store, specs_of(40), provider=settings_at().provider)

    with_them, without = estimated([*specs_of(30), *nothing], store), estimated(specs_of(30), store)
    assert (with_them.jobs, with_them.twins, with_them.left_out) == (30, 0, 5)
    assert replace(with_them, left_out=0) == without
    nobody = estimated(nothing, store)
    assert (nobody.jobs, nobody.left_out, nobody.most_cost_usd) == (0, 5, 0.0)
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(estimates_table([with_them]))
    assert "30; 5 more with nothing to grade are not sent" in console.export_text()
