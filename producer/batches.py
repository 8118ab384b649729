"""A batch as its owner sees it: progress, results, failures, another round, an end."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.contract.outcome import FailureKind
from workers.store.batches import cancel_batch, find_batch, retry_failed
from workers.store.overview import find_overview, read_pace
from workers.store.parks import parked_accounts
from workers.store.reading import Progress, finished_rounds, read_progress, read_results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from workers.store import Store
    from workers.store.overview import Pace
    from workers.store.parks import Park
    from workers.store.reading import ResultRow

POLL_SECONDS = 0.5
_CHUNK = 500
"""Job ids per look-up, well below every store's limit of bound parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress(Progress):
    """Where a batch stands, how fast it moves, and what the rest of it waits for."""

    jobs_per_second: float | None
    """Over the last minute; None when that cannot be told."""
    seconds_left: float | None
    """At that pace; None when it cannot be told, 0 when nothing is left."""
    waiting_for: tuple[str, ...]
    """Why waiting jobs wait, in sentences; empty when nothing waits."""


class Batch:
    """One batch by its name. Every call asks the store anew, so it may be kept, or made again in another process."""

    def __init__(self, store: Store, name: str, *, publish: Callable[[], None] | None = None) -> None:
        self._store = store
        self._publish = publish
        self.name = name

    def progress(self) -> BatchProgress:
        """Where it stands now, in one snapshot; raises `InvalidInput` when there is no such batch."""
        with self._store.snapshot() as connection:
            progress = read_progress(connection, self.name)
            pace = read_pace(connection, self.name)
            parks = parked_accounts(connection) if progress is not None else []
        if progress is None or pace is None:
            raise InvalidInput(f"there is no batch {self.name!r}; `gradequeue status` lists them")
        park = next((park for park in parks if park.account == progress.provider), None)
        left = progress.total - progress.finished
        rate = pace.jobs_per_second
        return BatchProgress(
            **{each.name: getattr(progress, each.name) for each in fields(Progress)},
            jobs_per_second=rate,
            seconds_left=0.0 if not left else left / rate if rate else None,
            waiting_for=_waiting_for(progress, pace, park),
        )

    def results(self) -> Iterator[ResultRow]:
        """Every job in input order, with the outcome of its current round if it has one."""
        with self._store.snapshot() as connection:
            find_batch(connection, self.name)
            yield from read_results(connection, self.name)

    def results_as_finished(self, *, poll_seconds: float = POLL_SECONDS) -> Iterator[ResultRow]:
        """Each job once, as soon as it has ended; returns when the batch is finished, however long that takes.

        The order is that of finding them. What is retried meanwhile comes again, with its new round.
        """
        seen: set[tuple[str, int]] = set()
        while True:
            finished = self.progress().is_finished  # asked before looking, so that nothing ends unseen in between
            with self._store.snapshot() as connection:
                new = finished_rounds(connection, self.name) - seen
            yield from self._rows(sorted(job_id for job_id, _round in new))
            seen |= new
            if finished and not new:
                return
            if not finished:
                time.sleep(poll_seconds)

    def failures(self) -> Iterator[ResultRow]:
        """The failed jobs in input order; `advice` of each says what to do."""
        with self._store.snapshot() as connection:
            find_batch(connection, self.name)
            yield from read_results(connection, self.name, failed_only=True)

    def retry_failed(self, kinds: Iterable[FailureKind | str] | None = None) -> int:
        """Begin another round for the failed jobs, of these kinds or of all of them; returns how many.

        No kinds are no jobs. The old outcomes stay. Raises `InvalidInput` for a kind that does not exist.
        """
        if isinstance(kinds, str):
            kinds = [kinds]
        wanted = None if kinds is None else [_kind(kind) for kind in kinds]
        if wanted == []:
            return 0
        count = retry_failed(self._store, self.name, kinds=wanted or ())
        if count and self._publish is not None:
            self._publish()
        return count

    def cancel(self) -> int:
        """End what has not finished; returns how many jobs that concerns. An answer that still arrives is kept."""
        ended, asked = cancel_batch(self._store, self.name)
        return ended + asked

    def origin(self) -> Mapping[str, object]:
        """What was kept with the batch when it was made: where it came from."""
        with self._store.snapshot() as connection:
            overview = find_overview(connection, self.name)
        if overview is None:
            raise InvalidInput(f"there is no batch {self.name!r}; `gradequeue status` lists them")
        return overview.origin

    def _rows(self, job_ids: list[str]) -> Iterator[ResultRow]:
        remaining = iter(job_ids)
        while chunk := list(islice(remaining, _CHUNK)):
            with self._store.snapshot() as connection:
                rows = list(read_results(connection, self.name, job_ids=chunk))
            yield from rows


def _waiting_for(progress: Progress, pace: Pace, park: Park | None) -> tuple[str, ...]:
    """A sentence per reason, the one that stops most first. A pause or a spend cap will stand here too."""
    if not progress.waiting:
        return ()
    if park is not None:
        return (f"{park.account} is parked ({park.state}): {park.state.advice}",)
    reasons = []
    if not pace.live_workers:
        reasons.append(
            f"no worker serves the queue {progress.queue} for {progress.provider}; "
            f"start one with: {_worker_command(progress)}"
        )
    if progress.deferred:
        seconds = max(1, round(pace.next_due_seconds or 0))
        reasons.append(f"{progress.deferred} wait until the provider takes more, the first for {seconds} s")
    if pace.live_workers and progress.waiting > progress.deferred:
        reasons.append(f"{progress.waiting - progress.deferred} wait for a free place in a worker")
    return tuple(reasons)


def _worker_command(progress: Progress) -> str:
    offline = " --offline" if progress.provider == "standin" else ""
    return f"gradequeue worker --queues {progress.queue}{offline}"


def _kind(kind: FailureKind | str) -> FailureKind:
    try:
        return FailureKind(kind)
    except ValueError:
        raise InvalidInput(f"there is no failure kind {kind!r}; known are {', '.join(FailureKind)}") from None
