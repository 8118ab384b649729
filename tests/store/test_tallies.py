"""The counts that triggers keep are those of the rows, whatever happened to the rows."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import event, func, insert, select, text, update

from tests.store.steps import answered, claim, claimed, enqueue, failure, new_job, persist, publish, send, success
from workers.contract.flag import Flag, FlagKind
from workers.contract.outcome import FailureKind, Success
from workers.store import migrations
from workers.store.ledger import JobEnding
from workers.store.overviews import list_overviews
from workers.store.progress import read_progress
from workers.store.releases import Release
from workers.store.steering import retry_failed
from workers.store.tables import attempts, batches, flags, jobs
from workers.store.tallies import TALLIES, fold, job_tallies, lock_rows, rebuild, recount

if TYPE_CHECKING:
    from types import ModuleType

    from sqlalchemy import Connection

    from tests.store.steps import Answer
    from workers.contract.outcome import Outcome
    from workers.store import Store
    from workers.store.claims import ClaimedJob

OFF_TASK, BAND = Flag(kind=FlagKind.OFF_TASK), Flag(kind=FlagKind.EVIDENCE_NOT_FOUND, path="a")


def differences(store: Store) -> dict[str, set[tuple[object, ...]]]:
    with store.snapshot() as connection:
        return recount(connection)


def flagged(job: ClaimedJob, outcome: Outcome[Answer], *found: Flag) -> JobEnding:
    return JobEnding(
        job_id=job.id, batch_id=job.batch_id, round=job.round, claim=job.claim, outcome=outcome, model_answered="m",
        is_standin=False, flags=found,
    )  # fmt: skip


def a_life(store: Store) -> None:
    """Successes, failures, requests of every price, flags twice the same, a wait, a second round."""
    good, bad, waits, open_one = claimed(store, 4)
    for job, cost in ((good, 0.1), (bad, None), (open_one, 0.7)):
        attempt = send(store, job, most_usd=cost)
        assert attempt is not None
        if job is good:
            ending = flagged(good, Success(success(good).outcome.value), OFF_TASK, OFF_TASK, BAND)  # type: ignore[union-attr]
            persist(store, closing=answered(attempt, cost_usd=cost), ending=ending)
        elif job is bad:
            persist(
                store, closing=answered(attempt, cost_usd=cost), ending=flagged(bad, failure(bad).outcome, OFF_TASK)
            )
    persist(store, release=Release(job_id=waits.id, claim=waits.claim, after_seconds=900.0, message_follows=False))


def test_they_follow_a_job_through_every_state_and_round(store: Store):
    a_life(store)
    assert differences(store) == {}
    with store.snapshot() as connection:
        before = read_progress(connection, "b")
    assert before is not None
    assert (before.succeeded, before.failed, before.running, before.deferred) == (1, 1, 1, 1)
    assert dict(before.flags) == {FlagKind.OFF_TASK: 2, FlagKind.EVIDENCE_NOT_FOUND: 1}
    assert dict(before.failures) == {FailureKind.REFUSED: 1}
    assert before.cost_usd is None, "the price of one answer is not known"

    retry_failed(store, "b")

    assert differences(store) == {}
    with store.snapshot() as connection:
        after = read_progress(connection, "b")
    assert after is not None
    assert dict(after.failures) == {}
    assert dict(after.flags) == {FlagKind.OFF_TASK: 1, FlagKind.EVIDENCE_NOT_FOUND: 1}
    assert sum(after.attempts.values()) == 3


def test_money_adds_up_to_the_last_digit_in_any_order(store: Store):
    for number, job in enumerate(claimed(store, 7)):
        attempt = send(store, job)
        assert attempt is not None
        persist(store, closing=answered(attempt, cost_usd=0.1 * 3**-number), ending=success(job))
    assert differences(store) == {}
    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
    assert progress is not None
    assert progress.cost_usd == pytest.approx(sum(0.1 * 3**-number for number in range(7)), abs=1e-11)


def test_a_peer_that_claims_every_token_there_is_spoils_no_count(store: Store):
    job = claimed(store)[0]
    attempt = send(store, job)
    assert attempt is not None
    persist(store, closing=answered(attempt, cost_usd=3e12), ending=success(job))
    with store.transaction() as connection:
        connection.execute(update(attempts).values(prompt_tokens=2**31 - 1, completion_tokens=2**31 - 1))
    assert differences(store) == {}


def test_flags_of_an_input_count_once_beside_those_of_a_round_and_go_with_it(store: Store):
    job = claimed(store)[0]
    of_input = {"job_id": job.id, "round": 0, "number": 0, "batch_id": job.batch_id, "path": "", "message": "",
                "kind": str(FlagKind.OFF_TASK)}  # fmt: skip
    with store.transaction() as connection:
        connection.execute(insert(flags), [of_input])
    persist(store, ending=flagged(job, failure(job).outcome, OFF_TASK, BAND))
    assert differences(store) == {}
    retry_failed(store, "b")
    assert differences(store) == {}
    with store.transaction() as connection:
        connection.execute(flags.delete().where(flags.c.round == 0))
    assert differences(store) == {}


def test_what_is_staging_counts_nowhere(store: Store):
    enqueue(store, 3)
    found = claim(store, publish(store))
    for job in found.values():
        persist(store, ending=failure(job))
    with store.transaction() as connection:
        connection.execute(update(batches).values(opened=2))

    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
        overview = list_overviews(connection, at_most=1)[0]
    assert progress is not None
    assert (progress.total, progress.failed, sum(progress.failures.values())) == (2, 2, 2)
    assert (overview.total, overview.failed) == (2, 2)

    with store.transaction() as connection:
        connection.execute(update(batches).values(opened=0))
    with store.snapshot() as connection:
        empty = read_progress(connection, "b")
    assert empty is not None
    assert (empty.total, empty.failed, dict(empty.failures)) == (0, 0, {})


def test_progress_reads_as_many_rows_for_many_jobs_as_for_few(store: Store):
    enqueue(store, 3, name="few")
    enqueue(store, 600, name="many")
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *found: statements.append(found[2]))
    for name in ("few", "many"):
        with store.snapshot() as connection:
            assert read_progress(connection, name) is not None
    counted = [each for each in statements if "FROM jobs" in each or "FROM outcomes" in each]
    assert counted == [], "rows were counted"
    assert len(statements) % 2 == 0


def test_they_can_be_made_again(store: Store):
    a_life(store)
    with store.transaction() as connection:
        for tally in TALLIES:
            connection.execute(tally.delete())
        assert set(recount(connection)) == {tally.name for tally in TALLIES}
    with store.transaction() as connection:
        lock_rows(connection)
        rebuild(connection)
    assert differences(store) == {}
    enqueue(store, [new_job("later")])
    assert differences(store) == {}


def test_parts_of_ended_connections_are_added_up(postgresql_store: Store):
    store = postgresql_store
    enqueue(store, 5)
    of_nobody = 2**22 + 1  # beyond the kernel's largest process number
    with store.transaction() as connection:
        part = connection.execute(select(func.max(job_tallies.c.shard))).scalar_one()
        connection.execute(update(job_tallies).where(job_tallies.c.shard == part).values(shard=of_nobody))
    enqueue(store, [new_job("later")])
    before = differences(store)

    assert store.run(fold) >= 1

    with store.snapshot() as connection:
        shards = set(connection.execute(select(job_tallies.c.shard)).scalars())
    assert of_nobody not in shards
    assert 0 in shards
    assert differences(store) == before == {}


def test_an_older_store_begins_with_what_it_holds(expendable_store: Store):
    store = expendable_store
    a_life(store)
    with store.transaction() as connection:
        undo_migration(connection)
        connection.execute(update(jobs).where(jobs.c.state == "ready").values(not_before=None))
        with Operations.context(MigrationContext.configure(connection)):
            migration().upgrade()
    assert differences(store) == {}
    enqueue(store, [new_job("later")])
    assert differences(store) == {}


def undo_migration(connection: Connection) -> None:
    """The store as the release before the tallies left it."""
    for name in triggers(connection):
        if connection.dialect.name == "sqlite":
            connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(text(f"DROP FUNCTION {name}() CASCADE"))
    for name in ("ix_attempts_repeats", "ix_outcomes_finished"):
        connection.execute(text(f"DROP INDEX {name}"))
    for tally in TALLIES:
        connection.execute(text(f"DROP TABLE {tally.name}"))


def migration() -> ModuleType:
    file = Path(migrations.__file__).parent / "versions" / "0013_tallies.py"
    spec = spec_from_file_location("tallies_migration", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def triggers(connection: Connection) -> set[str]:
    if connection.dialect.name == "sqlite":
        return set(connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars())
    return set(
        connection.execute(
            text(
                "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
                " WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace"
            )
        ).scalars()
    )


def test_every_trigger_is_there_after_the_newest_migration(store: Store):
    """A later migration that rebuilds a table on SQLite drops its triggers without a word."""
    with store.snapshot() as connection:
        found = triggers(connection)
    changed = {"jobs": 3, "attempts": 3, "standings": 3, "outcomes": 2, "flags": 2}
    assert {name: len([each for each in found if each.startswith(f"tally_{name}_")]) for name in changed} == changed
    assert "tally_rounds" in found
