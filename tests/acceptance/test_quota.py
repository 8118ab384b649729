"""The provider's quota as a user meets it: `gradequeue run` against a stand-in with limits, which counts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_run import RUN, TWO, ledger, made_up_programs, result_lines
from tests.support.wait import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command_line import Bench, StandinServer

pytestmark = pytest.mark.acceptance


def served_share(standin: StandinServer, *, per_second: float) -> float:
    """Requests admitted between 10% and 90% of the drain, over what the limit allows then."""
    by_second: Counter[int] = Counter()
    for account in standin.stats()["accounts"]:
        for second, charged in account["by_second"].items():
            by_second[int(second)] += charged["requests"]
    total, passed, inside = by_second.total(), 0, []
    for second in range(min(by_second), max(by_second) + 1):
        if passed >= 0.1 * total and passed + by_second[second] <= 0.9 * total:
            inside.append(by_second[second])
        passed += by_second[second]
    return sum(inside) / (len(inside) * per_second)


def test_a_limit_is_used_up_and_hardly_ever_met(bench: Bench, start_standin: Callable[..., StandinServer]):
    made_up_programs(bench.folder, 300)
    bench.standin = start_standin("--latency-ms", "100-900", "--rpm", "900", "--slice-seconds", "2")

    bench.run(*RUN, *TWO, "--max-retries", "0")

    assert [line["state"] for line in result_lines(bench.folder)] == ["succeeded"] * 300
    endings = ledger(bench)
    assert endings["answered"] == 300
    assert endings["throttled"] <= 6
    assert served_share(bench.standin, per_second=15) >= 0.95


def test_where_refused_calls_count_thirty_jobs_do_not_collapse(
    bench: Bench, start_standin: Callable[..., StandinServer]
):
    made_up_programs(bench.folder, 30)
    bench.standin = start_standin("--latency-ms", "5", "--rpm", "60", "--slice-seconds", "2", "--charge-refused")

    bench.run(*RUN, *TWO, "--max-retries", "0")

    assert len(result_lines(bench.folder)) == 30
    assert ledger(bench)["throttled"] <= 3


def test_a_limit_that_falls_while_it_is_used_loses_nothing(bench: Bench, start_standin: Callable[..., StandinServer]):
    made_up_programs(bench.folder, 200)
    bench.standin = start_standin("--latency-ms", "200", "--rpm", "900", "--slice-seconds", "2")

    running = bench.start(*RUN, *TWO, "--max-retries", "0")
    wait_until(lambda: bench.standin.stats()["admitted"] >= 80, "a part is done")
    bench.standin.configure(rpm=450)
    _stdout, stderr = running.communicate(timeout=DEADLINE_SECONDS)

    assert running.returncode == 0, stderr
    endings = ledger(bench)
    assert endings["answered"] == 200
    assert endings["throttled"] <= 20
