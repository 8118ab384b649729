"""Recording what a person decided about many items: a page of them in memory at a time, all in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from workers.contract.decision import Official
from workers.contract.errors import InvalidInput
from workers.store.decisions import ConflictingDecision, NewDecision, decide_in_turn, read_officials
from workers.store.results import find_jobs, read_results
from workers.store.sql import LIST_LENGTH, in_lists

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from sqlalchemy import Connection

    from producer.review.steps import Step
    from workers.store import Store
    from workers.store.results import ResultRow

    StepsOf: TypeAlias = Callable[[Connection, Sequence[ResultRow]], Step]
    """The step for some items, with what it has to know of them."""
    IsMeant: TypeAlias = Callable[[ResultRow, Official], bool]

UNDECIDED = Official()


def every_one(_row: ResultRow, _official: Official) -> bool:
    """Every item is meant."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a call did. `left_out` says why an item was passed over: id -> reason."""

    changed: int
    unchanged: int
    left_out: Mapping[str, str]


def record(
    store: Store,
    batch: str,
    item_ids: Collection[str] | None,
    step_of: StepsOf,
    *,
    by: str,
    reason: str = "",
    seen: Mapping[str, int] | None = None,
    is_meant: IsMeant = every_one,
) -> Decided:
    """Append what the step makes of these items, of every ended one without ids; of them, those that are meant.

    `seen`: item -> `Official.last_id` as the person saw it; raises `ConflictingDecision` when someone decided since,
    and then nothing was recorded.
    """
    if not by.strip():
        raise InvalidInput("a decision needs the name of who makes it: --by NAME or GRADEQUEUE_REVIEWER")
    unchanged = 0
    left_out: dict[str, str] = {}

    def plan(connection: Connection) -> Iterator[Sequence[NewDecision]]:
        nonlocal unchanged
        unchanged = 0  # a repeated transaction plans again
        left_out.clear()
        for rows in row_pages(connection, batch, item_ids, left_out):
            officials = read_officials(connection, batch, [row.id for row in rows])
            step, wanted = step_of(connection, rows), []
            for row in rows:
                official = officials.get(row.id, UNDECIDED)
                if not is_meant(row, official):
                    continue
                _refuse_unseen(row.id, official, seen)
                match step(row, official):
                    case None:
                        unchanged += 1
                    case str() as why:
                        left_out[row.id] = why
                    case kind, result, source:
                        wanted.append(
                            NewDecision(
                                item_id=row.id,
                                round=row.round,
                                kind=kind,
                                by=by.strip(),
                                reason=reason.strip(),
                                result=result,
                                source=source,
                            )
                        )
            yield wanted

    changed = decide_in_turn(store, batch, plan)
    return Decided(changed=changed, unchanged=unchanged, left_out=left_out)


def row_pages(
    connection: Connection, batch: str, item_ids: Collection[str] | None, missing: dict[str, str] | None = None
) -> Iterator[Sequence[ResultRow]]:
    """Every ended item, or these, some at a time; `missing` is called with those of these that have not ended."""
    if item_ids is None:
        rows = read_results(connection, batch, ended_only=True)
        while page := list(islice(rows, LIST_LENGTH)):
            yield page
        return
    for some in in_lists(list(item_ids)):
        found = list(read_results(connection, batch, ended_only=True, job_ids=find_jobs(connection, batch, some)))
        if missing is not None:
            there = {row.id for row in found}
            missing |= {each: f"{batch} has no ended item {each!r}" for each in some if each not in there}
        if found:
            yield found


def _refuse_unseen(item_id: str, official: Official, seen: Mapping[str, int] | None) -> None:
    if seen is not None and seen.get(item_id, 0) != official.last_id:
        who = official.decision.by if official.decision else "someone"
        raise ConflictingDecision(
            f"{item_id}: {who} decided about it since you looked (now: {official.state}); look again, then decide"
        )
