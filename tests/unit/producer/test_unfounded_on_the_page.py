"""The page says of an answer that strict evidence refused what it is, and lets the next round take such answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select

from producer import Item
from producer.page.words import UNFOUNDED, failure_advice
from producer.terminal.tables import summary_table
from tests.unit.producer.test_dashboard_pages import end, opened, texts, the_page_s_client
from workers.contract.flag import Flag, FlagKind
from workers.contract.job import JobParameters
from workers.contract.outcome import FailureKind
from workers.store.tables import flags, jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer import JobClient
    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
MADE_UP = Flag(kind=FlagKind.EVIDENCE_NOT_FOUND, path="evidence", message="the quotation is not in the submission")


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def failed(client: JobClient, *, flag: Flag | None) -> None:
    strict = JobParameters(evidence="strict")
    client.enqueue([Item("ann", "Grade")], name="b", schema="feedback", model="m", params=strict)
    end(client, "ann", None, kind=FailureKind.INVALID_OUTPUT)
    if flag is not None:
        with client.store.transaction() as connection:
            job = connection.execute(select(jobs)).one()
            row = {"job_id": job.id, "round": job.round, "number": 0, "batch_id": job.batch_id, **flag.as_json()}
            connection.execute(insert(flags).values(row))


def page_of_failures() -> None:
    from producer.page import retry_form, services
    from workers.contract.outcome import FailureKind

    retry_form.retry_form(services.client().batch("b"), {FailureKind.INVALID_OUTPUT: 1})


def test_the_next_round_may_take_answers_that_quote_what_is_not_there(client: JobClient):
    failed(client, flag=MADE_UP)
    app = opened(page_of_failures)
    assert not app.exception
    assert UNFOUNDED in texts(app)
    app.toggle(key="retry evidence").set_value(True).run()
    app.button(key="retry").click().run()
    assert not app.exception
    [job] = client.batch("b").jobs()
    assert job.parameters.evidence is None


def test_an_answer_that_missed_its_schema_is_said_to_have(client: JobClient):
    failed(client, flag=None)
    app = opened(page_of_failures)
    assert UNFOUNDED not in texts(app)
    assert not [toggle for toggle in app.toggle if toggle.key == "retry evidence"]


def test_the_words_for_one_student_and_for_a_whole_batch_tell_the_two_apart(client: JobClient):
    assert failure_advice(FailureKind.INVALID_OUTPUT, [MADE_UP]) == UNFOUNDED
    assert failure_advice(FailureKind.INVALID_OUTPUT) != UNFOUNDED
    failed(client, flag=MADE_UP)
    table = summary_table(client.batch("b").progress())
    said = [str(cell) for cell in table.columns[1].cells]
    assert any("quotes what is not in the work; which, says: gradequeue failures b" in cell for cell in said)
