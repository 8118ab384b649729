"""Repeats: a sample of a batch graded again in the same way, to measure how far the model scatters.

Each repeat is a batch of its own beside the batch, with the same prompts, models and parameters. Its requests are in
the ledger with the purpose `repeat`; its grades never become official, and no night regrades it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from producer.regrading.linked_name import linked_name
from workers.contract.errors import InvalidInput
from workers.contract.job import JobSpec, QueueName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from producer.batch import BatchOverview, StoredJob
    from producer.client import EnqueueReport, JobClient

MOST_REPEATS = 20


def repeat(
    client: JobClient,
    batch: str,
    *,
    repeats: int,
    sample: int,
    queue: QueueName = QueueName.BULK,
    by: datetime | None = None,
    price: str | None = None,
    notify: Iterable[str] = (),
) -> list[EnqueueReport]:
    """Enqueue `repeats` further gradings of `sample` succeeded items, drawn by a hash: the same at every call.

    Every item is graded by itself, twins too. Raises `InvalidInput` when nothing can be repeated, or the batch is a
    repeat itself.
    """
    overview = client.batch(batch).overview()
    if overview.origin.repeat_of is not None:
        raise InvalidInput(f"{batch} is a repeat itself; repeat {overview.origin.repeat_of}")
    if overview.provider != client.provider:
        raise InvalidInput(f"{batch} was graded by {overview.provider}; repeat it there, not at {client.provider}")
    jobs = _sampled(client, batch, sample)
    if not jobs:
        raise InvalidInput(f"batch {batch!r} has no grade of its own that could be repeated")
    reports = []
    for number in range(1, repeats + 1):
        for context_hash, specs in _by_context(jobs):
            origin = replace(overview.origin, regrade_of=batch, repeat_of=batch, nightly=None)
            context = None if context_hash is None else client.context(context_hash)
            name = repeat_name(batch, number)
            report = client.enqueue(
                specs,
                name=name,
                queue=queue,
                context=context,
                origin=origin,
                twins=False,
                names_are_searched=True,
                by=by,
                price=price,
                notify=notify,
            )
            reports.append(report)
    return reports


def repeat_name(batch: str, number: int) -> str:
    """`week3-repeat-1`."""
    return linked_name(batch, f"repeat-{number}")


def repeats_of(batch: str, exists: Callable[[str], bool]) -> Iterator[str]:
    """Names of the repeats that the batch has."""
    for number in range(1, MOST_REPEATS + 1):
        name = repeat_name(batch, number)
        if not exists(name):
            return
        yield name


def running_repeats(client: JobClient, batch: str) -> list[BatchOverview]:
    """Repeats of the batch, when any of them has not finished."""
    names = repeats_of(batch, lambda name: client.find_batch(name) is not None)
    found = [client.batch(name).overview() for name in names]
    return [] if all(each.is_finished for each in found) else found


def _sampled(client: JobClient, batch: str, sample: int) -> list[StoredJob]:
    ids = client.batch(batch).own_ids()
    ids.sort(key=lambda item_id: hashlib.sha256(f"repeat\0{batch}\0{item_id}".encode()).digest())
    drawn = {item_id: place for place, item_id in enumerate(ids[:sample])}
    return sorted(client.batch(batch).jobs(drawn), key=lambda job: drawn[job.id])


def _by_context(jobs: list[StoredJob]) -> list[tuple[str | None, list[JobSpec]]]:
    hashes = dict.fromkeys(job.context_hash for job in jobs)
    return [(each, [_again(job) for job in jobs if job.context_hash == each]) for each in hashes]


def _again(job: StoredJob) -> JobSpec:
    return JobSpec(
        id=job.id,
        prompt=job.prompt or "",
        instructions=job.instructions,
        schema=job.schema,
        model=job.model,
        parameters=replace(job.parameters, is_repeat=True, deadline_at=None),
        metadata=job.metadata,
        flags=job.input_flags,
        pseudonyms=job.pseudonyms,
    )
