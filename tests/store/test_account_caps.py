"""Caps of a day where one worker serves several accounts: each its own, and one for all of them together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.store.steps import answered, claim, new_job, opening, persist, publish
from workers.store.admission import Admission, admit, lock_gates
from workers.store.day_caps import DayCaps, raise_days, read_days
from workers.store.enqueue import add_jobs, open_batch
from workers.store.feed import Feed
from workers.store.gates import GateRequest
from workers.store.sql import lock_jobs

if TYPE_CHECKING:
    from workers.store import Store


def test_a_cap_of_the_day_for_all_accounts_closes_the_one_that_wants_more(store: Store):
    for account in ("p", "q"):
        batch = open_batch(
            store, name=account, provider=account, queue="bulk", gate=GateRequest(starts_carefully=False)
        )
        add_jobs(store, batch, [new_job(f"{account}-{number}") for number in range(2)])
    of_p, of_q = (publish(store, feed=Feed("bulk", account)) for account in ("p", "q"))
    found = claim(store, [*of_p, *of_q])
    caps = DayCaps(by_account={"p": 10.0, "q": 1.5}, total_usd=2.5)

    def verdict(job_id: str) -> str:
        wanted = [replace(opening(found[job_id]), most_usd=1.0)]

        def work(connection: Any) -> dict[str, Admission]:
            gates = lock_gates(connection, day_caps=caps, openings=wanted)
            admitted = admit(connection, wanted, locked=lock_jobs(connection, [job_id]), gates=gates)
            gates.write()
            return admitted

        [admission] = store.run(work).values()
        if admission is Admission.MAY_SEND:
            persist(store, closing=answered(wanted[0].attempt_id, cost_usd=1.0))
        return str(admission)

    assert [verdict(job_id) for job_id in (of_p[0], of_q[0], of_p[1])] == ["may_send", "may_send", "closed"]
    with store.snapshot() as connection:
        closed = {day.provider: (day.max_usd, day.closed_at is not None) for day in read_days(connection)}
    assert closed == {"p": (2.5, True), "q": (1.5, False)}
    assert verdict(of_q[1]) == "closed", "its own cap, before that for all"

    def raised(to: DayCaps) -> set[str]:
        store.run(lambda connection: raise_days(connection, to))
        with store.snapshot() as connection:
            return {day.provider for day in read_days(connection) if day.closed_at is None}

    assert raised(caps) == set()
    assert raised(replace(caps, total_usd=5.0)) == {"p"}
    assert raised(DayCaps(by_account={"q": 2.0})) == {"p", "q"}
