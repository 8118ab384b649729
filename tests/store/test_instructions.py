"""Instructions: kept once for all jobs that share them, and given to whoever claims one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from producer.client import JobClient
from tests.store.steps import claim
from workers.contract.errors import ConflictingJob
from workers.contract.job import JobSpec
from workers.contract.registry import builtin_registry
from workers.store.feed import Feed, due_jobs, mark_published
from workers.store.stored_jobs import read_jobs
from workers.store.tables import contexts

if TYPE_CHECKING:
    from workers.store import Store


def specs(instructions: str | None, *, prompt: str = "work") -> list[JobSpec]:
    return [
        JobSpec(id=f"s{n}", prompt=f"{prompt} {n}", instructions=instructions, schema="feedback", model="m")
        for n in range(3)
    ]


def client(store: Store) -> JobClient:
    return JobClient(store=store, publisher=None, registry=builtin_registry(), provider="p")


def test_they_are_one_row_whatever_the_number_of_jobs(store: Store):
    client(store).enqueue(specs("be fair"), name="b")

    with store.snapshot() as connection:
        assert connection.execute(select(func.count()).select_from(contexts)).scalar() == 1
        assert {job.instructions for job in read_jobs(connection, "b")} == {"be fair"}


def test_a_claim_brings_them_along(store: Store):
    client(store).enqueue(specs("be fair"), name="b")
    client(store).enqueue(specs(None), name="whole")
    with store.snapshot() as connection:
        due = due_jobs(connection, Feed("bulk", "p"), at_most=10)
    published = store.run(lambda connection: mark_published(connection, due))

    claimed = claim(store, [each.job_id for each in published])

    assert sorted(str(job.instructions) for job in claimed.values()) == ["None"] * 3 + ["be fair"] * 3


def test_other_instructions_are_another_job(store: Store):
    first = client(store).enqueue(specs("be fair"), name="b")
    again = client(store).enqueue(specs("be fair"), name="b")

    assert (first.new, again.new, again.existing) == (3, 0, 3)
    with pytest.raises(ConflictingJob):
        client(store).enqueue(specs("be strict"), name="b")
