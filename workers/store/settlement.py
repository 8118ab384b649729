"""The end of an attempt, all or nothing: its ledger row with the job's outcome or the release of its claim."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from workers.contract.outcome import Failure, FailureKind
from workers.store.claims import Release, release_jobs
from workers.store.ledger import AttemptClosing, JobEnding, close_attempts, finish_jobs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from workers.store.rows import LockedJob

REFUSED = Failure(kind=FailureKind.INTERNAL, message="the store refused this answer's text; see the worker's log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What one coroutine wants stored at the end of an attempt."""

    closing: AttemptClosing | None = None
    ending: JobEnding | None = None
    release: Release | None = None

    @property
    def job_ids(self) -> set[str]:
        """Jobs whose rows it changes."""
        return {part.job_id for part in (self.ending, self.release) if part is not None}


def apply_settlements(
    connection: Connection, settlements: Sequence[Settlement], *, locked: Mapping[str, LockedJob]
) -> set[str]:
    """Write them in one go; returns the ids of the jobs whose outcome was accepted. Happening twice is harmless."""
    if closings := [each.closing for each in settlements if each.closing]:
        close_attempts(connection, closings)
    endings = [each.ending for each in settlements if each.ending]
    accepted = finish_jobs(connection, endings, locked=locked) if endings else set()
    if releases := [each.release for each in settlements if each.release]:
        unfinished = {job_id: job for job_id, job in locked.items() if job_id not in accepted}
        release_jobs(connection, releases, locked=unfinished)
    return accepted


def without_refused_text(settlement: Settlement) -> Settlement | None:
    """The same settlement without the text that the store refused; None when there was none to begin with."""
    ending = settlement.ending
    if ending is None or ending.outcome == REFUSED:
        return None
    closing = settlement.closing and replace(settlement.closing, message=None, parameters_sent=None)
    return replace(settlement, ending=replace(ending, outcome=REFUSED, model_answered=None), closing=closing)
