"""A COMMIT whose answer was lost may be done: it is looked for, and nothing is lost, done twice or held up."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.store.steps import answered, endings, enqueue, opening, outcome_rows, publish, states, success
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.postgres import fresh_schema
from workers.store import Store
from workers.store import writer as module
from workers.store.admission import Admission
from workers.store.claims import ClaimedJob
from workers.store.engine import CommitUnknown
from workers.store.job_update import JobUpdate
from workers.store.releases import free_claims
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

EXECUTED, LOST = True, False


@pytest.fixture
def store() -> Iterator[Store]:
    with fresh_schema() as url, closing(Store.open(url)) as store:
        store.migrate()
        yield store


@pytest.fixture
def proxy(store: Store) -> Iterator[CuttingProxy]:
    server = store.engine.url
    with cutting_proxy(server.host or "127.0.0.1", server.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def cut_store(store: Store, proxy: CuttingProxy) -> Iterator[Store]:
    """The same store, through the proxy."""
    url = store.engine.url.set(host="127.0.0.1", port=proxy.port)
    with closing(Store.open(url.render_as_string(hide_password=False))) as opened:
        yield opened


@pytest.fixture
async def writer(cut_store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    writer = Writer(cut_store, worker_id="w1", loop=asyncio.get_running_loop())
    writer.start()
    yield writer
    await asyncio.to_thread(writer.stop, patience_seconds=5)


@pytest.mark.parametrize("cut", [EXECUTED, LOST])
def test_who_asked_is_told_that_it_may_be_done(cut: bool, store: Store, cut_store: Store, proxy: CuttingProxy):  # noqa: FBT001
    with store.transaction() as connection:
        connection.execute(text("CREATE TABLE written (n integer)"))
    proxy.cuts = [cut]
    with pytest.raises(CommitUnknown, match="may be done: look before you ask again"), cut_store.transaction() as other:
        other.execute(text("INSERT INTO written VALUES (1)"))
    with store.snapshot() as connection:
        assert connection.execute(text("SELECT count(*) FROM written")).scalar() == int(cut)


@pytest.mark.parametrize("cuts", [[EXECUTED], [LOST, EXECUTED], [EXECUTED, EXECUTED]])
async def test_each_step_of_a_job_is_done_once_however_its_commit_is_cut(
    cuts: list[bool], store: Store, proxy: CuttingProxy, writer: Writer
):
    enqueue(store, 3)
    ids = publish(store)

    proxy.cuts = list(cuts)
    jobs: list[Any] = await asyncio.gather(*map(writer.claim, ids))
    assert [(job.id, job.claim) for job in jobs] == [(job_id, 1) for job_id in ids], "nobody has to be freed first"

    proxy.cuts = list(cuts)
    sent = [opening(job) for job in jobs]
    assert await asyncio.gather(*map(writer.open_attempt, sent)) == [Admission.MAY_SEND] * 3

    proxy.cuts = list(cuts)
    updates = [
        JobUpdate(closing=answered(each.attempt_id), ending=success(job, number))
        for number, (each, job) in enumerate(zip(sent, jobs, strict=True))
    ]
    assert await asyncio.gather(*map(writer.persist, updates)) == [True] * 3
    assert proxy.cuts == []
    assert states(store) == {"succeeded": 3}
    assert endings(store) == {"answered": 3}
    assert {row.result for row in outcome_rows(store)} == {f'{{"grade":{number}}}' for number in range(3)}


async def test_a_claim_that_was_freed_before_the_store_answered_again_is_not_used(
    store: Store, proxy: CuttingProxy, writer: Writer, monkeypatch: pytest.MonkeyPatch
):
    """The worker was taken for dead while its store was away: what it asks again is asked anew."""
    enqueue(store, 1)
    [job_id] = publish(store)
    pause = module.Writer._pause

    def free_meanwhile(self: Writer, seconds: float) -> None:
        if states(store) == {"running": 1}:
            store.run(lambda connection: free_claims(connection, [job_id], worker_ids=["w1"]))
        pause(self, seconds)

    monkeypatch.setattr(module.Writer, "_pause", free_meanwhile)
    proxy.cuts = [EXECUTED]
    again = await writer.claim(job_id)
    assert again is None or (isinstance(again, ClaimedJob) and again.claim == 2)
