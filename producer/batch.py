"""A batch as its owner sees it: progress, results, failures, another round, an end."""

from __future__ import annotations

import time
from array import array
from itertools import repeat
from typing import TYPE_CHECKING

from producer.inputs.kinds import failure_kind, flag_kind
from producer.inputs.moments import check_moment
from producer.progress import BatchProgress, progress_of
from producer.terminal.gate_notices import Costs
from producer.terminal.notices import day_cap_notices
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters, check_name
from workers.store.asked_models import models_of
from workers.store.clock import read_clock
from workers.store.decisions import read_officials
from workers.store.earlier_answers import costs_of_finished, count_to_send
from workers.store.gates import BatchGate, read_gate, resume_batch
from workers.store.overviews import BatchOverview, find_batch, find_overview, look_up_batch, read_work
from workers.store.pauses import PauseScope, Target, lift_pause, pause
from workers.store.progress import ended_jobs
from workers.store.result_lines import read_result_lines
from workers.store.result_pages import Wanted
from workers.store.results import ResultRow, read_results
from workers.store.side_by_side import count_results, read_pairs, read_twins_apart
from workers.store.sql import in_lists
from workers.store.steering import cancel_batch, retry_failed
from workers.store.stored_jobs import StoredJob, read_jobs, read_own_ids, read_people
from workers.store.weights import set_weight
from workers.store.worker_reports import day_caps_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from producer.inputs.prices import PriceCheck
    from workers.contract.decision import Official
    from workers.contract.flag import FlagKind
    from workers.contract.origin import BatchOrigin
    from workers.contract.outcome import FailureKind
    from workers.store import Store
    from workers.store.progress import Ended

__all__ = ["Batch", "BatchOverview", "BatchProgress", "ResultRow", "StoredJob"]

POLL_SECONDS = 0.5
ENDED_AT_ONCE = 10_000
"""Jobs of a look at what has ended, whatever the batch's size."""


class Batch:
    """One batch by its name. Every call reads the store again, so it may be kept, or made again in another process."""

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        publish: Callable[[], None] | None = None,
        prices: PriceCheck | None = None,
    ) -> None:
        self._store = store
        self._publish = publish
        self._prices = prices
        self.name = name
        self._target = Target(PauseScope.BATCH, name)

    def progress(self) -> BatchProgress:
        """Counts and pace now, in one snapshot; raises `InvalidInput` when there is no such batch."""
        with self._store.snapshot() as connection:
            progress = progress_of(connection, self.name)
        if progress is None:
            raise InvalidInput(f"there is no batch {self.name!r}; `gradequeue status` lists them")
        return progress

    def results(self, *, flags: Collection[FlagKind | str] = ()) -> Iterator[ResultRow]:
        """Every job in input order, with the outcome of its current round if it has one.

        `flags` leaves those that carry one of these. Raises `InvalidInput` for a flag that does not exist.
        """
        wanted = [flag_kind(kind) for kind in flags]
        with self._store.snapshot() as connection:
            find_batch(connection, self.name)
            yield from read_results(connection, self.name, flagged=wanted)

    def count_results(self) -> int:
        """How many items have a result."""
        with self._store.snapshot() as connection:
            return count_results(connection, self.name)

    def beside(self, other: str) -> Iterator[tuple[ResultRow, ResultRow]]:
        """The results of each item that has one here and in the other batch; some are in memory at a time.

        Raises `InvalidInput` when there is no such batch.
        """
        with self._store.snapshot() as connection:
            for name in (self.name, other):
                find_batch(connection, name)
            yield from read_pairs(connection, self.name, other)

    def twins_graded_apart(self) -> Iterator[tuple[ResultRow, ResultRow]]:
        """Pairs of identical work, each graded by itself."""
        with self._store.snapshot() as connection:
            yield from read_twins_apart(connection, self.name)

    def officials(self, item_ids: Collection[str]) -> Mapping[str, Official]:
        """What people decided about these items; those without a decision are absent."""
        with self._store.snapshot() as connection:
            return read_officials(connection, self.name, item_ids)

    def lines(self, *, flags: Collection[FlagKind | str] = (), failed_only: bool = False) -> Iterator[str]:
        """The results as lines of JSON, each with its end of line: many times faster than `results`, for files."""
        wanted = Wanted(flagged=[flag_kind(kind) for kind in flags], failed_only=failed_only)
        with self._store.snapshot() as connection:
            find_batch(connection, self.name)
            yield from read_result_lines(connection, self.name, wanted)

    def results_as_finished(self, *, poll_seconds: float = POLL_SECONDS) -> Iterator[ResultRow]:
        """Each job once, as soon as it has ended; returns when the batch is finished, however long that takes.

        The order is that of finding them. What is retried meanwhile comes again, with its new round.
        """
        seen = array("H")
        """Position -> the round that was given, and one more; two bytes a job."""
        latest: float | None = None
        while True:
            finished = self.progress().is_finished  # asked before looking, so that nothing ends unseen in between
            is_new, began_at, until = False, self._now(), latest
            for ended in self._ended_pages(since=None if finished else latest):
                seen.extend(repeat(0, ended[-1].position + 1 - len(seen)))
                new = [each for each in ended if seen[each.position] != each.round + 1]
                yield from self._rows([each.job_id for each in new])
                for each in new:
                    seen[each.position] = each.round + 1
                is_new = is_new or bool(new)
                until = max(until or 0.0, *(each.finished_at for each in ended))
            latest = None if until is None else min(until, began_at)  # what ended during the look may be behind it
            if finished and not is_new:
                return
            if not finished:
                time.sleep(poll_seconds)

    def _now(self) -> float:
        with self._store.snapshot() as connection:
            return read_clock(connection)

    def _ended_pages(self, *, since: float | None) -> Iterator[list[Ended]]:
        after = -1
        while True:
            with self._store.snapshot() as connection:
                ended = ended_jobs(connection, self.name, since=since, after=after, at_most=ENDED_AT_ONCE)
            if not ended:
                return
            yield ended
            after = ended[-1].position

    def ended(self) -> Iterator[ResultRow]:
        """The jobs that have an outcome in their current round, in input order."""
        with self._store.snapshot() as connection:
            find_batch(connection, self.name)
            yield from read_results(connection, self.name, ended_only=True)

    def costs(self) -> Costs:
        """What finished jobs have cost, as far as prices are known, and how many more will be sent."""
        with self._store.snapshot() as connection:
            batch = find_batch(connection, self.name)
            return Costs(
                usd=tuple(costs_of_finished(connection, batch.id)), to_send=count_to_send(connection, batch.id)
            )

    def failures(self) -> Iterator[ResultRow]:
        """The failed jobs in input order; `advice` of each says what to do."""
        with self._store.snapshot() as connection:
            find_batch(connection, self.name)
            yield from read_results(connection, self.name, failed_only=True)

    def ended_results(
        self, *, failures_only: bool = False, flags: Collection[FlagKind] = (), at_most: int | None = None
    ) -> list[ResultRow]:
        """The first jobs that have ended, in input order; empty when there is no such batch."""
        with self._store.snapshot() as connection:
            rows = read_results(
                connection, self.name, ended_only=True, failed_only=failures_only, flagged=flags, at_most=at_most
            )
            return list(rows)

    def work(self) -> dict[str, tuple[str, str, str]]:
        """(prompt hash, model, schema) of every job by item id: what was handed in, without its text."""
        with self._store.snapshot() as connection:
            return read_work(connection, self.name)

    def jobs(self, item_ids: Collection[str] | None = None) -> Iterator[StoredJob]:
        """Every job as it was enqueued, or of these items, in input order; none when there is no such batch."""
        with self._store.snapshot() as connection:
            for some in (None,) if item_ids is None else in_lists(item_ids):
                yield from read_jobs(connection, self.name, item_ids=some)

    def own_ids(self) -> list[str]:
        """Items with a result of their own whose prompt is kept: neither twins nor purged."""
        with self._store.snapshot() as connection:
            return read_own_ids(connection, self.name)

    def people(self) -> list[tuple[str, Mapping[str, object]]]:
        """Id and metadata of every job, whom prompts that join the batch are searched for."""
        with self._store.snapshot() as connection:
            return list(read_people(connection, self.name))

    def models(self, *, unfinished_only: bool = False) -> list[str]:
        """Every model that its jobs, or the unfinished ones, ask or fall back to; none when there is no such batch."""
        with self._store.snapshot() as connection:
            batch = look_up_batch(connection, self.name)
            return [] if batch is None else models_of(connection, batch.id, unfinished_only=unfinished_only)

    def retry_failed(
        self,
        kinds: Iterable[FailureKind | str] | None = None,
        *,
        model: str | None = None,
        parameters: Mapping[str, object] | None = None,
        by: datetime | None = None,
    ) -> int:
        """Begin another round for the failed jobs, of these kinds or of all of them; returns how many.

        No kinds are no jobs. The old outcomes stay. `model` and `parameters` (fields of `JobParameters` by name) are
        the new round's, and none of it starts after `by`, an aware moment.
        Raises `InvalidInput` for a kind or a parameter that does not exist.
        """
        if isinstance(kinds, str):
            kinds = [kinds]
        wanted = None if kinds is None else [failure_kind(kind) for kind in kinds]
        if wanted == []:
            return 0
        changed = dict(parameters or {})
        if by is not None:
            check_moment(by)
            changed["deadline_at"] = by.timestamp()
        JobParameters(**changed)  # type: ignore[arg-type] # refuses what no job takes
        if changed.keys() & {"deadline_seconds", "deadline_at"}:  # the one takes the other's place
            changed = {"deadline_seconds": None, "deadline_at": None, **changed}
        if model is not None:
            check_name("model", model)
        count = retry_failed(self._store, self.name, kinds=wanted or (), model=model, parameters=changed)
        if count and self._publish is not None:
            self._publish()
        return count

    def cancel(self) -> int:
        """End what has not finished; returns how many jobs that concerns. An answer that still arrives is kept."""
        ended, asked = cancel_batch(self._store, self.name)
        return ended + asked

    def gate(self) -> BatchGate:
        """What holds it back: a pilot, a spend cap, or what closed it; nothing does when there is no such batch."""
        with self._store.snapshot() as connection:
            return read_gate(connection, self.name)

    def check_pilot(self) -> None:
        """Raise `InvalidInput` when there is no such batch, so no pilot of these jobs."""
        with self._store.snapshot() as connection:
            if look_up_batch(connection, self.name) is None:
                raise InvalidInput(
                    "there is no pilot of this input with these options; make one with --pilot N, or leave --go out"
                )

    def pause(self) -> bool:
        """Let none of its jobs start until `resume`; calls in flight finish. False when it was paused already."""
        with self._store.snapshot() as connection:
            find_batch(connection, self.name)
        return self._store.run(lambda connection: pause(connection, self._target))

    def day_cap_notices(self, *, joining_usd: float | None) -> list[str]:
        """Says so when living workers of its provider keep another day cap than one that is about to start."""
        with self._store.snapshot() as connection:
            provider = find_batch(connection, self.name).provider
            kept = day_caps_kept(connection).get(provider, {})
        return day_cap_notices({provider: {**kept, joining_usd: kept.get(joining_usd, 0) + 1}})

    def set_weight(self, weight: float) -> None:
        """Give it so much of its queue, against 1 of other batches; holds from the feeder's next round on."""
        with self._store.snapshot() as connection:
            batch = find_batch(connection, self.name)
        self._store.run(lambda connection: set_weight(connection, batch.id, weight))

    def resume(self, *, max_cost_usd: float | None = None) -> bool:
        """Resume its jobs: of a paused or closed batch, or the rest of a pilot; false when nothing held them back.

        Raises `InvalidInput` when its spend cap is reached and no higher one is given.
        """
        with self._store.snapshot() as connection:
            batch = find_batch(connection, self.name)
        for model in self.models() if max_cost_usd is not None else ():
            if self._prices is not None:
                self._prices.check_model(model)

        def work(connection: Connection) -> bool:
            was_held = resume_batch(connection, batch.id, max_usd=max_cost_usd)
            return lift_pause(connection, self._target) or was_held

        was_held = self._store.run(work)
        if was_held and self._publish is not None:
            self._publish()
        return was_held

    def overview(self) -> BatchOverview:
        """What a list of batches shows of it, in one query; raises `InvalidInput` when there is no such batch."""
        with self._store.snapshot() as connection:
            overview = find_overview(connection, self.name)
        if overview is None:
            raise InvalidInput(f"there is no batch {self.name!r}; `gradequeue status` lists them")
        return overview

    def origin(self) -> BatchOrigin:
        """What was kept with the batch when it was made: where it came from."""
        return self.overview().origin

    def _rows(self, job_ids: list[str]) -> Iterator[ResultRow]:
        for some in in_lists(job_ids):
            with self._store.snapshot() as connection:
                rows = list(read_results(connection, self.name, job_ids=some))
            yield from rows
