"""Reviewing a batch: who approves, corrects, holds and releases which grade. Decisions are appended, none is changed.

Everything here may be repeated: what holds already is not recorded a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from producer.review import steps
from producer.review.by_hand import graded_by_hand, is_by_hand
from producer.review.corrections import Correction, corrected
from producer.review.recording import UNDECIDED, Decided, every_one, record, row_pages
from workers.contract.decision import CONTEXT_SOURCE, DecisionKind, Official, ReleaseRule, ReviewState
from workers.contract.errors import InvalidInput
from workers.contract.schema_files.source import content_digest
from workers.settings import STANDIN_PROVIDER
from workers.store.decisions import (
    are_standings_behind,
    note_download,
    read_audit,
    read_decisions,
    read_last_act,
    read_officials,
    read_release_rule,
    rebuild_standings,
    set_release_rule,
)
from workers.store.enqueue import save_context
from workers.store.overviews import find_batch, read_origin
from workers.store.results import read_context, read_ended_ids, read_results

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from producer.review.recording import IsMeant
    from workers.contract.decision import Decision
    from workers.contract.registry import SchemaRegistry
    from workers.store import Store
    from workers.store.decisions import Act, AuditEntry
    from workers.store.results import ResultRow


Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One item: what the model said, and what people made of it."""

    row: ResultRow
    official: Official

    @property
    def is_stale(self) -> bool:
        """The decision was about an earlier round: another outcome came since."""
        decision = self.official.decision
        return decision is not None and decision.round < self.row.round


class Review:
    """The review of one batch. Every call reads the store again."""

    def __init__(self, store: Store, batch: str, *, registry: SchemaRegistry) -> None:
        self._store = store
        self._registry = registry
        self.batch = batch

    @property
    def store(self) -> Store:
        """Where the batch is."""
        return self._store

    def renew_standings(self) -> None:
        """Let the store's lists know what an earlier release decided meanwhile."""
        with self._store.snapshot() as connection:
            is_behind = are_standings_behind(connection, find_batch(connection, self.batch).id)
        if is_behind:
            rebuild_standings(self._store, self.batch)

    def items(self, item_ids: Collection[str] | None = None) -> Iterator[ReviewItem]:
        """Every item with an end, or these, in input order, a page at a time."""
        with self._store.snapshot() as connection:
            find_batch(connection, self.batch)
            for rows in row_pages(connection, self.batch, item_ids):
                officials = read_officials(connection, self.batch, [row.id for row in rows])
                for row in rows:
                    yield ReviewItem(row, officials.get(row.id, UNDECIDED))

    def read(self, reading: Callable[[Connection, str], Read]) -> Read:
        """What this function reads about the batch, in one snapshot."""
        with self._store.snapshot() as connection:
            return reading(connection, self.batch)

    def results_of(self, batch: str, item_ids: Collection[str] | None = None) -> dict[str, object]:
        """Results of another batch by item id, of the items that have one."""
        with self._store.snapshot() as connection:
            find_batch(connection, batch)
            return {
                row.id: row.result
                for rows in row_pages(connection, batch, item_ids)
                for row in rows
                if row.result is not None
            }

    def context(self) -> Mapping[str, Any]:
        """The rubric or catalogue of the batch's first item; empty for schemas without one."""
        with self._store.snapshot() as connection:
            first = next(read_results(connection, self.batch, ended_only=True, at_most=1), None)
            context = read_context(connection, first.context_hash) if first and first.context_hash else None
        return context or {}

    def has_standin(self) -> bool:
        """Whether the grades are a rehearsal's."""
        with self._store.snapshot() as connection:
            return find_batch(connection, self.batch).provider == STANDIN_PROVIDER

    def decisions(self, item_id: str) -> list[Decision]:
        """The record of one item, oldest first."""
        with self._store.snapshot() as connection:
            return list(read_decisions(connection, self.batch, [item_id]))

    def audit(self) -> list[AuditEntry]:
        """Who did what, oldest first."""
        with self._store.snapshot() as connection:
            return read_audit(connection, self.batch)

    def rule(self) -> ReleaseRule:
        """Which items need a decision before release."""
        with self._store.snapshot() as connection:
            return read_release_rule(connection, self.batch)

    def set_rule(self, rule: ReleaseRule, *, by: str) -> None:
        """Choose which items need a decision before release."""
        set_release_rule(self._store, self.batch, rule, by=by)

    def approve(
        self, item_ids: Collection[str] | None, *, by: str, reason: str = "", seen: Mapping[str, int] | None = None
    ) -> Decided:
        """Make what the model said official, of every ended item without ids.

        `seen`: item -> `Official.last_id` as the person saw it; raises `ConflictingDecision` when someone decided
        since, and then nothing was recorded.
        """
        return self._decide(item_ids, steps.approval, by=by, reason=reason, seen=seen)

    def approve_unflagged(self, *, by: str, reason: str = "") -> Decided:
        """The same for every grade without a flag that nobody decided about."""
        return self._decide(None, steps.approval, by=by, reason=reason, is_meant=steps.is_unflagged)

    def hold(
        self, item_ids: Collection[str] | None, *, by: str, reason: str = "", seen: Mapping[str, int] | None = None
    ) -> Decided:
        """Let nothing be official until someone decides again."""
        return self._decide(item_ids, steps.holding, by=by, reason=reason, seen=seen)

    def undo(
        self,
        item_ids: Collection[str] | None,
        *,
        by: str,
        reason: str = "",
        seen: Mapping[str, int] | None = None,
        source: str | None = None,
        goes_further: bool = False,
        is_meant: IsMeant = every_one,
    ) -> Decided:
        """Take back the last decision that holds, as another decision; the one before it holds again.

        What was undone last stays as it is, so that a repeated call does nothing, unless the caller `goes_further` or
        says what it had seen. `source`: only where the grade of this batch was made official by `apply`; `is_meant`:
        only of these.
        """
        step = partial(steps.undoing, source, goes_further or seen is not None)
        return self._decide(item_ids, step, by=by, reason=reason, seen=seen, is_meant=is_meant)

    def last_act(self) -> Act | None:
        """What was decided last: of all items that it was about."""
        with self._store.snapshot() as connection:
            return read_last_act(connection, self.batch)

    def undo_act(self, act: Act, *, by: str, reason: str = "") -> Decided:
        """Take back these decisions, wherever one of them still holds, and no other."""
        return self.undo(
            None,
            by=by,
            reason=reason,
            goes_further=True,
            is_meant=lambda _row, official: act.includes(official.decision),
        )

    def lifted_by_undo(self, *, goes_further: bool) -> int:
        """How many items that are on hold would not be if the last decision about every item were undone."""
        return sum(
            item.official.state is ReviewState.ON_HOLD
            and (goes_further or item.official.last_kind is not DecisionKind.UNDO)
            for item in self.items()
        )

    def override(
        self, item_id: str, correction: Correction, *, by: str, reason: str, seen: Mapping[str, int] | None = None
    ) -> Decided:
        """Correct a grade, from the official one if there is one, else from the model's; a reason is required.

        Where neither is there, the grade is given by hand: `by_hand` says what that needs.
        """
        if not reason.strip():
            raise InvalidInput("a correction needs a reason; the student may ask for it")
        if correction.is_empty:
            raise InvalidInput("say what to correct: --set FIELD=VALUE, --points NUMBER or --points CRITERION=NUMBER")
        return self._decide([item_id], partial(self._correction, correction), by=by, reason=reason, seen=seen)

    def release(self, item_ids: Collection[str] | None = None, *, by: str) -> Decided:
        """Let students see the official grades; what may not be seen yet is left out, each with its reason."""
        return self._decide(item_ids, partial(steps.release, self.rule()), by=by)

    def recall(self, item_ids: Collection[str] | None, *, by: str, reason: str = "") -> Decided:
        """Take released grades back from the students."""
        return self._decide(item_ids, steps.recalling, by=by, reason=reason)

    def apply(self, regrade: str, *, by: str, item_ids: Collection[str] | None = None, reason: str = "") -> Decided:
        """Make the grades of another batch official for the same items of this one. `undo` restores what held."""
        with self._store.snapshot() as connection:
            find_batch(connection, regrade)
            origin = read_origin(connection, regrade)
            ended = read_ended_ids(connection, regrade)
            mine = read_ended_ids(connection, self.batch)
        if origin is not None and origin.repeat_of is not None:
            raise InvalidInput(f"{regrade} was graded to measure noise; its grades never become official")
        chosen = ended if item_ids is None else list(item_ids)
        strangers = {each: f"{self.batch} has no such item" for each in chosen if each not in mine}

        def take_over(connection: Connection, rows: Sequence[ResultRow]) -> steps.Step:
            ids = [row.id for row in rows]
            theirs = {row.id: row for page in row_pages(connection, regrade, ids) for row in page}
            return partial(steps.taken_over, theirs)

        both = [each for each in chosen if each in mine]
        done = record(self._store, self.batch, both, take_over, by=by, reason=reason)
        return Decided(changed=done.changed, unchanged=done.unchanged, left_out={**done.left_out, **strangers})

    def replace(
        self,
        item_ids: Collection[str],
        compute: Callable[[ResultRow, Official], object],
        *,
        source: str,
        by: str,
        reason: str,
        seen: Mapping[str, int] | None = None,
    ) -> Decided:
        """Make what is computed of these items official; a text in place of a result says why there is none.

        `source` says what the results follow from, and holds for later corrections too.
        """
        return self._decide(item_ids, partial(steps.replaced, compute, source), by=by, reason=reason, seen=seen)

    def keep_context(self, context: Mapping[str, object]) -> None:
        """Store a rubric or catalogue that decisions are about to name; again does nothing."""
        save_context(self._store, context_hash=content_digest(context), content=context)

    def note_download(self, what: str, *, by: str) -> None:
        """Add to the audit log that somebody took a file."""
        note_download(self._store, [self.batch], by=by, detail=what)

    def _decide(
        self,
        item_ids: Collection[str] | None,
        step: steps.Step,
        *,
        by: str,
        reason: str = "",
        seen: Mapping[str, int] | None = None,
        is_meant: IsMeant = every_one,
    ) -> Decided:
        return record(
            self._store, self.batch, item_ids, lambda _connection, _rows: step,
            by=by, reason=reason, seen=seen, is_meant=is_meant,
        )  # fmt: skip

    def _correction(self, correction: Correction, row: ResultRow, official: Official) -> steps.Found:
        if row.is_purged:
            return "its answer was purged"
        base = row.result if official.result is None else official.result
        source = official.decision.source if official.decision else None
        is_rescored = source is not None and source.startswith(CONTEXT_SOURCE)
        context_hash = source.removeprefix(CONTEXT_SOURCE) if source and is_rescored else row.context_hash
        with self._store.snapshot() as connection:
            context = read_context(connection, context_hash) if context_hash else None
        model = self._registry.resolve(row.schema, context).model
        is_new = base is None or is_by_hand(base)
        result = graded_by_hand(base, model, correction) if is_new else corrected(base, model, correction)
        if official.state is ReviewState.OVERRIDDEN and official.result == result:
            return None
        return DecisionKind.OVERRIDE, result, source if is_rescored else None
