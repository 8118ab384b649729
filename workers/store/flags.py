"""The flags of outcomes: written with them, read by job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from workers.contract.flag import Flag, FlagKind
from workers.store.fitting import fit_flag
from workers.store.tables import flags, jobs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy import ColumnElement, Connection, Select

    from workers.store.ledger import JobEnding


def write_flags(connection: Connection, endings: Iterable[JobEnding]) -> None:
    """Store the flags of outcomes that are stored in the same transaction."""
    rows = [
        fit_flag(
            {
                "job_id": ending.job_id,
                "round": ending.round,
                "number": number,
                "batch_id": ending.batch_id,
                **flag.as_json(),
            }
        )
        for ending in endings
        for number, flag in enumerate(ending.flags)
    ]
    if rows:
        connection.execute(insert(flags), rows)


FlagsByRound = dict[tuple[str, int], tuple[Flag, ...]]
"""By job id and round; rounds without one are absent."""
OF_THE_INPUT = 0
"""The round of flags that are known before any: they hold in every round."""


def write_input_flags(connection: Connection, batch_id: int, found: Mapping[str, Iterable[Flag]]) -> None:
    """Store what is known of new jobs' inputs, by job id, in the transaction that stores the jobs."""
    rows = [
        fit_flag({"job_id": job_id, "round": OF_THE_INPUT, "number": number, "batch_id": batch_id, **flag.as_json()})
        for job_id, flags_of_job in found.items()
        for number, flag in enumerate(flags_of_job)
    ]
    if rows:
        connection.execute(insert(flags), rows)


def flags_by_round(
    connection: Connection, job_ids: Collection[str] | Select[tuple[str]], *, only: int | None = None
) -> FlagsByRound:
    """The flags of these jobs, in their order.

    `job_ids` may be a query that finds them. `flags_of_round` adds those of the input; `only` reads one round.
    """
    wanted = flags.c.job_id.in_(job_ids) if only is None else flags.c.job_id.in_(job_ids) & (flags.c.round == only)
    rows = connection.execute(select(flags).where(wanted).order_by(flags.c.job_id, flags.c.round, flags.c.number))
    found: FlagsByRound = {}
    for row in rows:
        flag = Flag(kind=FlagKind(row.kind), path=row.path, message=row.message)
        found[row.job_id, row.round] = (*found.get((row.job_id, row.round), ()), flag)
    return found


def flags_of_round(found: Mapping[tuple[str, int], tuple[Flag, ...]], job_id: str, job_round: int) -> tuple[Flag, ...]:
    """What was found by `flags_by_round` for this round, the flags of the job's input first."""
    return (*found.get((job_id, OF_THE_INPUT), ()), *found.get((job_id, job_round), ()))


def is_flagged(kinds: Collection[FlagKind]) -> ColumnElement[bool]:
    """Of a job: its present round carries one of these flags."""
    flagged = select(flags.c.job_id).where(
        flags.c.job_id == jobs.c.id,
        flags.c.round.in_([OF_THE_INPUT, jobs.c.round]),
        flags.c.kind.in_([str(kind) for kind in kinds]),
    )
    return flagged.correlate(jobs).exists()
