"""docs/streamlit.md is a program that runs: its lines are taken from the page and given to Streamlit's test harness."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from producer.client import JobClient
from workers.contract.registry import builtin_registry
from workers.store.tables import jobs, outcomes

if TYPE_CHECKING:
    from workers.store import Store

PAGE = Path(__file__).parents[3] / "docs" / "streamlit.md"


def program() -> str:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_it_takes_fifteen_lines():
    assert len([line for line in program().splitlines() if line.strip()]) <= 15


def finish_everything(store: Store, stop: threading.Event) -> None:
    """A worker's part, without a worker."""
    from sqlalchemy import insert, select, update

    while not stop.wait(0.02):
        with store.transaction() as connection:
            rows = connection.execute(select(jobs).where(jobs.c.state == "ready")).all()
            for row in rows:
                connection.execute(
                    insert(outcomes).values(
                        job_id=row.id, round=row.round, batch_id=row.batch_id, claim=row.claim, finished_at=0.0,
                        result='{"summary": "*Well* <b>done</b>", "score": 90, "suggestions": []}', is_standin=False,
                    )
                )  # fmt: skip
                connection.execute(update(jobs).where(jobs.c.id == row.id).values(state="succeeded"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_lines_grade_one_essay_after_another_and_show_the_results_as_text(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from streamlit.testing.v1 import AppTest

    client = JobClient(store=store, publisher=None, registry=builtin_registry(), provider="p")
    monkeypatch.setattr(JobClient, "connect", lambda: client)
    file = tmp_path / "app.py"
    file.write_text(program(), encoding="utf-8")
    stop = threading.Event()
    worker = threading.Thread(target=finish_everything, args=(store, stop))
    worker.start()
    shown: list[list[str]] = []
    try:
        app = AppTest.from_file(str(file), default_timeout=30).run()
        for essay in ("My holidays", "My holidays, again", "My holidays"):
            app.text_area[0].set_value(essay).run()
            app.button[0].click().run()
            assert not app.exception
            shown.append([text.value for text in app.text])
    finally:
        stop.set()
        worker.join()

    assert shown == [["*Well* <b>done</b>"]] * 3
    graded = [row for batch in client.batches() for row in client.batch(batch.name).results()]
    assert [(row.id, row.state) for row in graded] == [("essay", "succeeded")] * 2, "the same essay is paid for once"
