"""A store that goes away while a page is open: a sentence, and a page that goes on by itself when it is back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st

from producer import JobClient
from producer.page.outage import says_when_away
from producer.review.glance import Board
from tests.unit.producer.test_dashboard_pages import (
    end,
    enqueue,
    opened,
    page_of_batch,
    page_of_batches,
    texts,
    the_page_s_client,
)
from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

AWAY = "A service is unavailable (store)."


@pytest.fixture
def client(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    yield from the_page_s_client(store, tmp_path, monkeypatch)


def page_of_batch_a_while_later() -> None:
    import streamlit as st

    from producer.page import batch_page, outage

    st.fragment.timed.clear()  # type: ignore[attr-defined]
    outage.says_when_away(batch_page.show)("b", back=lambda: None)
    for draw in st.fragment.timed:  # type: ignore[attr-defined]
        if draw.__module__ == outage.__name__:
            draw()


def page_of_dialog() -> None:
    from producer.page import batch_page, services

    batch_page._confirm_cancel(services.client().batch("b"))


def test_a_store_that_goes_away_is_a_sentence_in_every_part_of_a_page(
    client: JobClient, monkeypatch: pytest.MonkeyPatch
):
    enqueue(client, "anna")

    def away(*_arguments: object, **_options: object) -> None:
        raise ServiceUnavailable("store", "the store does not answer")

    monkeypatch.setattr(Board, "students", away)
    monkeypatch.setattr(JobClient, "page_of_batches", away)
    for page in (page_of_batch, page_of_batches):
        app = opened(page)
        assert not app.exception
        assert [AWAY in error.value for error in app.error] == [True]
        assert "the store does not answer" in texts(app)


@pytest.mark.parametrize("part", ["glance", "students"])
def test_a_page_that_met_no_store_is_drawn_again_by_itself(
    client: JobClient, monkeypatch: pytest.MonkeyPatch, part: str
):
    """The whole page, and the list of a batch that is over, which no timer of its own draws again."""
    enqueue(client, "anna")
    end(client, "anna")
    answers, real = iter([False]), getattr(Board, part)  # the first look meets no store
    seen: list[bool] = []

    def look(board: Board, *arguments: object, **options: object) -> Any:
        seen.append(next(answers, True))
        if seen[-1]:
            return real(board, *arguments, **options)
        raise ServiceUnavailable("store", "gone")

    monkeypatch.setattr(Board, part, look)
    monkeypatch.setattr(st, "fragment", remembered(st.fragment))
    app = opened(page_of_batch_a_while_later)

    assert seen == [False, True]
    assert not app.exception
    assert not app.error
    assert "Cost" in [metric.label for metric in app.metric]


def remembered(real: Any) -> Any:
    """`st.fragment`, which keeps what the browser would ask for again."""

    def fragment(draw: Any = None, *, run_every: float | None = None) -> Any:
        if draw is None:
            return partial(fragment, run_every=run_every)
        if run_every is not None:
            fragment.timed.append(draw)  # type: ignore[attr-defined]
        return real(draw, run_every=run_every)

    fragment.timed = []  # type: ignore[attr-defined]
    return fragment


def test_a_dialog_says_so_too(client: JobClient, monkeypatch: pytest.MonkeyPatch):
    enqueue(client, "anna")

    def away(_batch: object) -> int:
        raise ServiceUnavailable("store", "gone")

    monkeypatch.setattr(type(client.batch("b")), "cancel", away)
    app = opened(page_of_dialog)
    app.button(key="really cancel").click().run()

    assert not app.exception
    assert [AWAY in error.value for error in app.error] == [True]


def test_other_faults_are_not_taken_for_an_outage():
    @says_when_away
    def draw() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        draw()
