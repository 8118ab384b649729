"""A batch as its page shows it: counts, review, what waits for what; a page of its students; its charts.

Every call reads the store again with a fixed number of queries, and none reads all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from producer.inputs.courses.roster import titles_that_name
from producer.review.doubt import Signs, doubts_of, most_points_of, reasons_of
from producer.review.kept_rubrics import KeptRubrics
from producer.review.likeness import compare_works
from producer.review.neighbours import METHOD
from producer.terminal.gate_notices import closed_notice
from producer.terminal.notices import RECENT_SECONDS, hold_notices
from workers.contract.decision import ReviewState
from workers.contract.errors import InvalidInput
from workers.contract.headline import headline
from workers.store.charts import Bars, Charts, read_charts
from workers.store.day_caps import DayGate, read_days
from workers.store.decisions import AuditEntry, read_audit, read_officials, rebuild_standings
from workers.store.gates import ClosedBy
from workers.store.glance import Glance, ReviewCounts, read_glance
from workers.store.lanes.overview import LaneLook, read_lanes
from workers.store.one_student import OneStudent, Round, read_student
from workers.store.overviews import BatchChoice, BatchOrder, WhichBatches, find_batch
from workers.store.pages import Page, Place
from workers.store.parks import ParkedAccount, parked_accounts
from workers.store.pauses import BatchPauses, Pause, PauseScope, pauses_of
from workers.store.progress import Counts
from workers.store.results import read_context, read_results
from workers.store.stored_jobs import StoredJob, read_jobs
from workers.store.student_choice import Choice, Reason, Show, Sign, SortBy
from workers.store.students import (
    Neighbours,
    StudentLine,
    count_students,
    read_neighbours,
    read_students,
    read_titles,
)
from workers.store.work_comparisons import Comparison, read_comparison
from workers.store.worker_reports import latest_budgets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from producer.client import JobClient
    from workers.contract.decision import Official, ReleaseRule
    from workers.contract.origin import BatchOrigin
    from workers.store.gates import BatchGate
    from workers.store.student_choice import Doubts

__all__ = [
    "Bars",
    "BatchChoice",
    "BatchGlance",
    "BatchOrder",
    "Board",
    "Charts",
    "Choice",
    "ClosedBy",
    "Comparison",
    "DayGate",
    "KeptRubrics",
    "Neighbours",
    "OneStudent",
    "Page",
    "ParkedAccount",
    "Pause",
    "PauseScope",
    "Place",
    "Reason",
    "Round",
    "Show",
    "Sign",
    "SortBy",
    "StudentLine",
    "WhichBatches",
    "most_points_of",
    "reasons_to_read",
]

MOST_LOOKED_AT = 50
"""Jobs whose metadata says which titles a batch has; some of the first may be left out, and have fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchGlance(Counts):
    """Counts, pace, the state of the review, and what the rest of a batch waits for."""

    jobs_per_second: float | None
    seconds_left: float | None
    live_workers: int
    next_due_seconds: float | None
    """Until the next job that waits for the provider's limit is sent."""
    gate: BatchGate
    closed: str | None
    park: ParkedAccount | None
    holds: tuple[str, ...]
    parks: tuple[ParkedAccount, ...]
    """Every parked account, this batch's or another's."""
    paused: BatchPauses
    lanes: tuple[LaneLook, ...]
    """Where its jobs are that may wait for a cheaper answer."""
    days: tuple[DayGate, ...]
    """Spend caps of the day, by provider."""
    budgets: tuple[Mapping[str, Any], ...]
    """The limits of this batch's account, as workers saw them last."""
    origin: BatchOrigin
    rule: ReleaseRule
    review: ReviewCounts

    @property
    def undecided(self) -> int:
        """Items with an end that nobody decided about."""
        return max(0, self.finished - sum(count for state, count in self.review.states.items() if state != "undecided"))


class Board:
    """The page's view of one batch."""

    def __init__(self, client: JobClient, batch: str) -> None:
        self._store = client.store
        self.batch = batch

    def glance(self) -> BatchGlance:
        """Everything that is refreshed, in seven to nine queries; raises `InvalidInput` when there is no such batch."""
        with self._store.snapshot() as connection:
            found = self._found(connection)
            parks = parked_accounts(connection)
            budgets = latest_budgets(connection, within_seconds=RECENT_SECONDS)
            days = read_days(connection) if found.has_days else []
            paused = pauses_of(connection, self.batch) if found.has_pauses else BatchPauses()
            account = found.counts.provider
            lanes = read_lanes(connection, found.batch_id, self.batch, account) if found.has_lanes else ()
        if found.are_standings_behind:
            rebuild_standings(self._store, self.batch)
            return self.glance()
        counts, pace = found.counts, found.pace
        park = next((park for park in parks if park.account == counts.provider), None)
        holds = tuple(hold_notices(budgets, account=counts.provider))
        closed = closed_notice(found.gate, counts, days, paused) if counts.waiting else None
        left = counts.total - counts.finished
        rate = pace.jobs_per_second
        return BatchGlance(
            **{each.name: getattr(counts, each.name) for each in fields(Counts)},
            jobs_per_second=rate,
            seconds_left=0.0 if not left else left / rate if rate else None,
            live_workers=pace.live_workers,
            next_due_seconds=pace.next_due_seconds,
            gate=found.gate,
            closed=closed,
            park=park,
            holds=holds,
            parks=tuple(parks),
            paused=paused,
            lanes=lanes,
            days=tuple(days),
            budgets=tuple(budget for budget in budgets if budget.get("account") == counts.provider),
            origin=found.origin,
            rule=found.rule,
            review=found.review,
        )

    def context(self) -> Mapping[str, Any]:
        """The rubric or catalogue of the batch's first item with an end; empty without one."""
        with self._store.snapshot() as connection:
            first = next(read_results(connection, self.batch, ended_only=True, at_most=1), None)
            context = read_context(connection, first.context_hash) if first and first.context_hash else None
        return context or {}

    def students(
        self, choice: Choice, *, rubrics: KeptRubrics | None = None, at: Place | None = None, at_most: int = 25
    ) -> Page[StudentLine]:
        """A page of the students with a result or a failure: the first, or the one at `previous` or `next` of another.

        Five queries, a search in six; one more where `rubrics` does not hold those of this batch yet.
        """
        with self._store.snapshot() as connection:
            header = find_batch(connection, self.batch)
            choice = _searching(connection, header.id, choice)
            kept = rubrics or KeptRubrics()
            doubts = kept.doubts(connection, self.batch, header.opened)
            page = read_students(connection, header.id, choice, doubts, at=at, at_most=at_most)
            corrected = [line.id for line in page.rows if line.state is ReviewState.OVERRIDDEN]
            officials = read_officials(connection, self.batch, corrected)
        return page.mapped([_with_reasons(line, doubts, kept, officials.get(line.id)) for line in page.rows])

    def count_students(self, choice: Choice) -> int:
        """How many students with a result or a failure there are under this choice; the database counts."""
        with self._store.snapshot() as connection:
            batch_id = self._batch_id(connection)
            return count_students(connection, batch_id, _searching(connection, batch_id, choice))

    def student(
        self, item_id: str, choice: Choice, *, rubrics: KeptRubrics | None = None
    ) -> tuple[OneStudent, Neighbours]:
        """One student with who comes before and after, in eight queries; raises `InvalidInput` when there is none."""
        with self._store.snapshot() as connection:
            found = read_student(connection, self.batch, item_id)
            if found is None:
                find_batch(connection, self.batch)
                raise InvalidInput(f"{self.batch} has no student {item_id!r}")
            choice = _searching(connection, found.batch_id, choice)
            doubts = (rubrics or KeptRubrics()).doubts(connection, self.batch, found.opened)
            return found, read_neighbours(connection, found.batch_id, choice, doubts, item_id)

    def neighbours(self, item_id: str, choice: Choice, *, rubrics: KeptRubrics | None = None) -> Neighbours:
        """Who comes before and after this student, in three queries."""
        with self._store.snapshot() as connection:
            header = find_batch(connection, self.batch)
            choice = _searching(connection, header.id, choice)
            doubts = (rubrics or KeptRubrics()).doubts(connection, self.batch, header.opened)
            return read_neighbours(connection, header.id, choice, doubts, item_id)

    def comparison(self) -> Comparison:
        """Whether the order of reading knows which grades differ from those of nearly the same work; one query."""
        with self._store.snapshot() as connection:
            return read_comparison(connection, self.batch, method=METHOD)

    def compare_works(self) -> None:
        """Find these grades, about a millisecond per work; nothing to do where no outcome has come since."""
        compare_works(self._store, self.batch)

    def charts(self, *, most_points: float | None = None) -> Charts:
        """Grades, pace and cost, in two queries."""
        with self._store.snapshot() as connection:
            return read_charts(connection, self._batch_id(connection), most_points=most_points)

    def first_job(self) -> StoredJob | None:
        """The first job as it was enqueued; None for an empty batch."""
        with self._store.snapshot() as connection:
            return next(read_jobs(connection, self.batch, at_most=1), None)

    def activity(self, at_most: int) -> list[AuditEntry]:
        """Who did what, the newest first."""
        with self._store.snapshot() as connection:
            return read_audit(connection, self.batch, newest=at_most)

    def _found(self, connection: Connection) -> Glance:
        found = read_glance(connection, self.batch)
        if found is None:
            raise InvalidInput(f"there is no batch {self.batch!r}; `gradequeue status` lists them")
        return found

    def _batch_id(self, connection: Connection) -> int:
        return find_batch(connection, self.batch).id


def reasons_to_read(found: OneStudent, official: Official) -> tuple[Reason, ...]:
    """Why this student stands where he does in the order of reading, the strongest reason first."""
    doubts = doubts_of({"own": found.context or {}})
    decision = official.decision
    signs = Signs(
        points=headline(found.row.result),
        failure_kind=found.row.failure_kind if official.result is None else None,
        is_stale=decision is not None and decision.round < found.row.round,
        flags=[flag.kind for flag in found.row.flags],
        is_repaired=found.is_repaired,
        borders=doubts.borders.get("own", ()),
        outlier=found.outlier,
    )
    return reasons_of(signs)


def _with_reasons(line: StudentLine, doubts: Doubts, rubrics: KeptRubrics, official: Official | None) -> StudentLine:
    has_grade = line.state in {ReviewState.APPROVED, ReviewState.OVERRIDDEN}
    signs = Signs(
        points=line.model_points,
        failure_kind=None if has_grade else line.failure_kind,
        is_stale=line.is_stale,
        flags=line.flags,
        is_repaired=line.is_repaired,
        borders=doubts.borders.get(line.context_hash or "", ()),
        outlier=line.outlier,
    )
    return replace(
        line,
        most_points=_most_stated(official) or rubrics.most_points(line.context_hash),
        reasons=reasons_of(signs),
    )


def _most_stated(official: Official | None) -> float | None:
    """The maximum that the official result names."""
    result = official.result if official is not None else None
    most = result.get("max_points") if isinstance(result, dict) else None
    return float(most) if isinstance(most, int | float) else None


def _searching(connection: Connection, batch_id: int, choice: Choice) -> Choice:
    """The choice with the titles under which this batch's metadata names people."""
    if not choice.search.strip():
        return choice
    titles = titles_that_name(read_titles(connection, batch_id, at_most=MOST_LOOKED_AT))
    return replace(choice, searched=tuple(titles))
