"""Whatever claimers, cancels, retries, deaths and late answers do, and in whatever order: the books balance."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text

from tests.store.steps import (
    answered,
    claim,
    endings,
    enqueue,
    failure,
    job_row,
    new_job,
    outcome_rows,
    persist,
    publish,
    send,
    success,
)
from workers.contract.flag import Flag, FlagKind
from workers.store.feed import unpublish_all
from workers.store.flags import flags_by_round
from workers.store.progress import read_progress
from workers.store.releases import MOST_UNKNOWN_ATTEMPTS, Release, free_claims
from workers.store.steering import cancel_batch, retry_failed
from workers.store.tables import attempts, jobs, metadata
from workers.store.tallies import TALLIES, recount

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.claims import ClaimedJob
    from workers.store.enqueue import NewJob

WORKERS = ("w1", "w2", "w3")
TWIN_WORKS = 2
FLAG = Flag(kind=FlagKind.EVIDENCE_NOT_FOUND, path="evidence")
any_of = st.integers(min_value=0, max_value=10_000)


@dataclasses.dataclass
class Held:
    """A claim as its worker remembers it, for ever: it does not know that it lost it."""

    job: ClaimedJob
    worker: str
    sent: list[str] = dataclasses.field(default_factory=list)


class Life(RuleBasedStateMachine):
    """One batch, three workers, an operator, a sweeper."""

    store: ClassVar[Store]

    @initialize()
    def begin(self) -> None:
        with self.store.transaction() as connection:
            for table in (*reversed(metadata.sorted_tables), *TALLIES):  # a row that goes is taken off its tally
                connection.execute(table.delete())
        self.items = 0
        self.sent = 0
        self.held: list[Held] = []
        self.last_claim: dict[str, int] = {}
        self.outcomes: dict[tuple[str, int], Any] = {}
        self.kept: dict[tuple[str, int], int] = {}
        self.enqueue(2)

    @rule(count=st.integers(1, 3))
    def enqueue(self, count: int) -> None:
        enqueue(self.store, [self.item(self.items + number) for number in range(count)])
        self.items += count

    @staticmethod
    def item(number: int) -> NewJob:
        """Every second one has a twin: two works, and the others' own."""
        return new_job(f"i{number}", twin_key=f"work{number % 4}" if number % 4 < TWIN_WORKS else None)

    @rule()
    def enqueue_everything_again(self) -> None:
        assert enqueue(self.store, [self.item(number) for number in range(self.items)]).new == 0

    @rule(at_most=st.integers(1, 4))
    def publish(self, at_most: int) -> None:
        publish(self.store, at_most=at_most)

    @rule()
    def lose_the_broker(self) -> None:
        self.store.run(unpublish_all)

    @rule(worker=st.sampled_from(WORKERS), start=any_of)
    def claim(self, worker: str, start: int) -> None:
        with self.store.snapshot() as connection:
            ids = list(connection.execute(select(jobs.c.id).order_by(jobs.c.id)).scalars())
        some = ids[start % len(ids) :][:3]
        for job_id, job in claim(self.store, some, worker).items():
            assert job.claim > self.last_claim.get(job_id, 0), "a claim number came twice"
            self.last_claim[job_id] = job.claim
            kept = json.loads(job.kept.outcome.as_json_text())["grade"] if job.kept else None  # type: ignore[union-attr]
            assert kept == self.kept.get((job_id, job.round)), "an answer that was paid for is gone"
            self.held.append(Held(job, worker))

    def pick(self, which: int) -> Held:
        return self.held[which % len(self.held)]

    def is_current(self, held: Held) -> bool:
        with self.store.snapshot() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == held.job.id)).one()
        return row.state == "running" and row.claim == held.job.claim

    @precondition(lambda self: self.held)
    @rule(which=any_of)
    def send(self, which: int) -> None:
        held = self.pick(which)
        current = self.is_current(held)
        attempt = send(self.store, held.job, held.worker)
        assert (attempt is not None) == current
        if attempt is not None:
            held.sent.append(attempt)
            self.sent += 1

    @precondition(lambda self: self.held)
    @rule(which=any_of, grade=st.integers(0, 9))
    def succeed(self, which: int, grade: int) -> None:
        held = self.pick(which)
        closing = answered(held.sent[-1]) if held.sent else None
        persist(self.store, closing=closing, ending=success(held.job, grade, flags=(FLAG,) * (grade % 3)))

    @precondition(lambda self: self.held)
    @rule(which=any_of, grade=st.integers(0, 9))
    def keep_an_answer_for_later(self, which: int, grade: int) -> None:
        held = self.pick(which)
        before = job_row(self.store, held.job.id)
        persist(self.store, kept=success(held.job, grade))
        if before.round == held.job.round and before.state in {"ready", "running"}:
            self.kept[held.job.id, before.round] = grade

    @precondition(lambda self: self.held)
    @rule(which=any_of)
    def fail(self, which: int) -> None:
        held = self.pick(which)
        current = self.is_current(held)
        assert persist(self.store, ending=failure(held.job)) == current

    @precondition(lambda self: self.held)
    @rule(which=any_of, after=st.sampled_from([None, 0.0, -1.0]))
    def release(self, which: int, after: float | None) -> None:
        held = self.pick(which)
        release = Release(
            job_id=held.job.id, claim=held.job.claim, after_seconds=after, message_follows=after is not None
        )
        persist(self.store, release=release)

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        with self.store.snapshot() as connection:
            held = list(connection.execute(select(jobs.c.id).where(jobs.c.worker_id == worker)).scalars())
        self.store.run(lambda connection: free_claims(connection, held, worker_ids={worker}))

    @rule()
    def cancel(self) -> None:
        cancel_batch(self.store, "b")

    @rule()
    def retry(self) -> None:
        retry_failed(self.store, "b")

    @invariant()
    def no_outcome_changes_and_every_finished_round_has_one(self) -> None:
        now = {(row.job_id, row.round): row for row in outcome_rows(self.store)}
        assert {key: now.get(key) for key in self.outcomes} == self.outcomes
        self.outcomes = now

        rounds: dict[str, list[int]] = {}
        for job_id, number in self.outcomes:
            rounds.setdefault(job_id, []).append(number)
        with self.store.snapshot() as connection:
            for job in connection.execute(select(jobs)):
                finished = job.round if job.state in {"succeeded", "failed"} else job.round - 1
                assert rounds.get(job.id, []) == list(range(1, finished + 1)), job.state
                assert job.kept_answer is None or job.state in {"ready", "running"}
                assert (job.worker_id is not None) == (job.state == "running")
                assert not (job.cancel_requested and job.state != "running")

    @invariant()
    def a_follower_is_where_its_leader_is(self) -> None:
        with self.store.snapshot() as connection:
            found = {job.id: job for job in connection.execute(select(jobs))}
            spent = set(connection.execute(select(attempts.c.job_id)).scalars())
            flags = flags_by_round(connection, list(found))
        outcomes = {(row.job_id, row.round): row for row in outcome_rows(self.store)}
        leaders = {job.twin_key: job.id for job in found.values() if job.twin_key and not job.leader_id}
        for job in found.values():
            assert (job.leader_id is not None) == (job.twin_key is not None and leaders[job.twin_key] != job.id)
            if job.leader_id is None:
                assert job.state != "following"
                continue
            leader = found[job.leader_id]
            assert leader.leader_id is None, "a follower leads"
            assert job.id not in spent
            assert not job.claim
            assert not job.publish_number
            assert job.state == (leader.state if leader.state in {"succeeded", "failed"} else "following")
            if job.state != "following":
                own, led = outcomes[job.id, job.round], outcomes[leader.id, leader.round]
                assert own.same_as == leader.id
                assert (own.result, own.failure_kind) == (led.result, led.failure_kind)
                assert own.finished_at >= led.finished_at
                assert flags.get((job.id, job.round)) == flags.get((leader.id, leader.round))

    @invariant()
    def the_counters_add_up(self) -> None:
        with self.store.snapshot() as connection:
            progress = read_progress(connection, "b")
            deadly = connection.execute(
                text(
                    "SELECT count(*) FROM (SELECT job_id FROM attempts WHERE ending = 'unknown' "
                    f"GROUP BY job_id, round HAVING count(*) > {MOST_UNKNOWN_ATTEMPTS}) AS many"
                )
            ).scalar()
        assert progress is not None
        assert progress.total == self.items
        assert progress.waiting + progress.running + progress.succeeded + progress.failed == self.items
        assert sum(progress.failures.values()) == progress.failed
        assert sum(progress.attempts.values()) == self.sent
        assert progress.repeats.repeated <= self.sent
        assert deadly == 0

    @invariant()
    def the_tallies_are_a_recount(self) -> None:
        with self.store.snapshot() as connection:
            assert recount(connection) == {}

    @invariant()
    def no_request_is_forgotten_and_none_is_open_without_a_claim(self) -> None:
        assert sum(endings(self.store).values()) == self.sent
        with self.store.snapshot() as connection:
            open_without_claim = connection.execute(
                select(attempts.c.id)
                .join(jobs, jobs.c.id == attempts.c.job_id)
                .where(attempts.c.ending.is_(None), attempts.c.claim > jobs.c.claim)
            ).all()
        assert open_without_claim == []


@pytest.mark.parametrize("examples", [25])
def test_the_books_balance(store: Store, examples: int):
    class LifeHere(Life):
        pass

    LifeHere.store = store
    run_state_machine_as_test(
        LifeHere,
        settings=settings(
            max_examples=examples if store.is_sqlite else examples // 3,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
