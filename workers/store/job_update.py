"""The end of an attempt, all or nothing: its ledger row with the job's outcome or the release of its claim."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from workers.contract.outcome import Failure, FailureKind
from workers.store.kept import keep_answers
from workers.store.ledger import AttemptClosing, JobEnding, close_attempts, finish_jobs
from workers.store.releases import Release, release_jobs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from workers.store.admission import Gates
    from workers.store.sql import LockedJob

REFUSED = Failure(kind=FailureKind.INTERNAL, message="the store refused this answer's text; see the worker's log")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUpdate:
    """What one coroutine wants stored at the end of an attempt."""

    closing: AttemptClosing | None = None
    ending: JobEnding | None = None
    release: Release | None = None
    kept: JobEnding | None = None
    """An answer that is paid for while its round needs another request."""
    heard_batch: int | None = None
    """The provider has taken a request of this batch, and answers it."""

    @property
    def job_ids(self) -> set[str]:
        """Jobs whose rows it changes."""
        return {part.job_id for part in (self.ending, self.release, self.kept) if part is not None}


def apply_updates(
    connection: Connection, updates: Sequence[JobUpdate], *, locked: Mapping[str, LockedJob], gates: Gates
) -> set[str]:
    """Write them in one go; returns the ids of the jobs whose outcome was accepted. Happening twice is harmless.

    What `gates` hold and give back is the caller's to write.
    """
    if closings := [each.closing for each in updates if each.closing]:
        gates.count_costs(closings)
        close_attempts(connection, closings)
    if kept := [each.kept for each in updates if each.kept]:
        keep_answers(connection, kept, locked=locked)
    gates.hear({each.heard_batch for each in updates if each.heard_batch is not None})
    endings = [each.ending for each in updates if each.ending]
    accepted = finish_jobs(connection, endings, locked=locked) if endings else set()
    gates.judge_first([each for each in endings if each.job_id in accepted])
    if releases := [each.release for each in updates if each.release]:
        unfinished = {job_id: job for job_id, job in locked.items() if job_id not in accepted}
        release_jobs(connection, releases, locked=unfinished)
    return accepted


def storable_forms(update: JobUpdate) -> list[JobUpdate]:
    """What to store instead when the store refuses this one's row, the fullest first; empty when nothing is left.

    What the provider said about the answer goes first, and the answer itself last.
    """
    plain = _without_metadata(update)
    forms = [] if plain == update else [plain]
    if plain.ending is not None and plain.ending.outcome != REFUSED:
        forms.append(replace(plain, ending=replace(plain.ending, outcome=REFUSED)))
    if plain.kept is not None:
        forms.append(replace(plain, kept=None))
    return forms


def _without_metadata(update: JobUpdate) -> JobUpdate:
    closing, ending = update.closing, update.ending
    return replace(
        update,
        closing=closing and AttemptClosing(attempt_id=closing.attempt_id, ending=closing.ending, usage=closing.usage),
        ending=ending and replace(ending, model_answered=None),
    )
