"""How often a page that is open asks the store again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from producer.page.batch_page import RESULTS_SECONDS, refresh_seconds


@pytest.mark.parametrize(
    ("finished", "total", "seconds"),
    [(0, 10, RESULTS_SECONDS), (1000, 2000, RESULTS_SECONDS), (100_000, 100_001, 50.0), (100_000, 100_000, None)],
)
def test_a_list_that_is_made_of_a_whole_batch_is_refreshed_less_often_the_larger_it_is(
    finished: int, total: int, seconds: float | None
):
    glance = SimpleNamespace(finished=finished, is_finished=finished == total)
    assert refresh_seconds(glance) == seconds  # type: ignore[arg-type] # all that is read of it
