"""A provider that is away is told from a job that the provider fails on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workers.budget.outage import MOST_EXCUSED, Blame, Outage, Sign

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW = ["a", "b", "c"]
GONE = [Sign.BROKEN, Sign.UNREACHED]


def failed(outage: Outage, job_id: str, now: float, sign: Sign | None = None) -> Blame | None:
    return outage.failed(job_id, sent_at=now - 0.1, now=now, sign=sign)


def found_after_a_restart(
    outage: Outage, jobs: Sequence[str], now: float, sign: Sign | None, *, lasts: float = 1.0
) -> set[Blame | None]:
    """All of them fail, and the next call is answered when the provider is back."""
    found = {job: failed(outage, job, now + number / 100, sign) for number, job in enumerate(jobs)}
    outage.answered(now + lasts, sent_at=now + lasts - 0.05)
    return {
        outage.later(job, failed_at=now + number / 100, now=now + lasts + 0.1) if told is None else told
        for number, (job, told) in enumerate(found.items())
    }


def test_without_a_connection_the_first_failure_is_an_outage():
    assert failed(Outage(), "a", 10.0, Sign.UNREACHABLE) is Blame.AWAY


def test_a_connection_that_fails_while_others_are_answered_is_told_by_those_sent_later():
    outage = Outage()
    outage.answered(9.95, sent_at=9.0)
    assert failed(outage, "a", 10.0, Sign.UNREACHABLE) is None
    outage.answered(10.9, sent_at=9.5)
    assert outage.later("a", failed_at=10.0, now=11.0) is None, "a server that stops in order answers what it has"

    outage.answered(11.5, sent_at=11.0)

    assert outage.later("a", failed_at=10.0, now=11.6) is Blame.OVER


def test_a_connection_that_fails_as_the_last_calls_are_answered_is_an_outage():
    outage = Outage()
    outage.answered(9.95, sent_at=9.0)
    failed(outage, "a", 10.0, Sign.UNREACHABLE)
    outage.answered(10.9, sent_at=9.5)

    assert [outage.later("a", failed_at=10.0, now=now) for now in (12.8, 13.0)] == [None, Blame.AWAY]


def test_a_single_server_error_is_the_jobs_own():
    outage = Outage()

    assert failed(outage, "a", 10.0) is None
    assert outage.alone("a") is Blame.OWN


def test_server_errors_of_several_jobs_over_seconds_without_an_answer_are_an_outage():
    outage = Outage()

    assert [failed(outage, job, now) for job, now in (("a", 10.0), ("b", 10.2), ("a", 12.0))] == [
        None,
        None,
        Blame.AWAY,
    ]


def test_one_job_alone_is_never_excused_for_server_errors():
    outage = Outage()

    assert all(failed(outage, "a", 10.0 + second) in {None, Blame.OWN} for second in range(30))
    assert outage.alone("a") is Blame.OWN


@pytest.mark.parametrize("sign", GONE)
def test_one_job_alone_is_excused_while_nobody_is_there_but_not_for_ever(sign: Sign):
    outage = Outage()

    found = [failed(outage, "a", 10.0 + second, sign) or outage.alone("a") for second in range(30)]

    assert found == [Blame.AWAY] * MOST_EXCUSED + [Blame.OWN] * (30 - MOST_EXCUSED)


def test_an_answer_ends_the_outage():
    outage = Outage()
    failed(outage, "a", 10.0)
    failed(outage, "b", 10.0)
    outage.answered(11.9, sent_at=9.0)

    assert failed(outage, "a", 12.5) is None


def test_a_job_that_failed_while_a_later_call_was_served_is_excused_no_more():
    outage = Outage()
    failed(outage, "poison", 10.0)
    outage.answered(11.0, sent_at=10.5)
    failed(outage, "other", 11.5)

    assert failed(outage, "poison", 15.0) is Blame.OWN
    assert failed(outage, "other", 15.0) is Blame.AWAY, (
        "nothing speaks against the provider but silence, and nothing for it"
    )


def test_an_answer_to_a_call_from_before_the_outage_says_nothing_of_who_failed_in_it():
    outage = Outage()
    failed(outage, "a", 10.0)
    outage.answered(11.0, sent_at=9.9)
    failed(outage, "b", 11.0)

    assert failed(outage, "a", 13.5) is Blame.AWAY


def test_jobs_that_break_the_provider_are_not_excused_for_ever():
    outage = Outage()

    excused = [failed(outage, job, 10.0 + second) for second in range(30) for job in "ab"]

    assert excused[:4] == [None] * 4
    assert excused[4:20] == [Blame.AWAY] * 16
    assert set(excused[2 * MOST_EXCUSED :]) == {Blame.OWN}


def test_calls_that_die_with_their_provider_are_an_outage_as_soon_as_nobody_was_answered_for_a_while():
    outage = Outage()
    outage.answered(9.99, sent_at=9.0)
    assert failed(outage, "a", 10.0) is None
    assert failed(outage, "b", 10.0) is None
    outage.answered(10.1, sent_at=9.0)

    found = [[outage.later(job, failed_at=10.0, now=now) for job in "ab"] for now in (11.0, 12.0, 12.2)]

    assert found == [[None, None], [None, None], [Blame.AWAY, Blame.AWAY]]


def test_a_failure_is_the_jobs_own_as_soon_as_another_is_answered_after_it():
    outage = Outage()
    failed(outage, "a", 10.0)
    failed(outage, "b", 10.0)
    outage.answered(10.3, sent_at=9.0)

    assert outage.later("a", failed_at=10.0, now=10.4) is Blame.OWN


@pytest.mark.parametrize("sign", GONE)
@pytest.mark.parametrize("jobs", [FEW, FEW[:1]], ids=["a few", "one"])
@pytest.mark.parametrize("lasts", [0.3, 1.0, 1.9])
def test_a_few_jobs_are_excused_for_a_provider_that_is_back_within_two_seconds(
    jobs: list[str], sign: Sign, lasts: float
):
    outage = Outage()
    outage.answered(9.9, sent_at=9.0)

    assert found_after_a_restart(outage, jobs, 10.0, sign, lasts=lasts) == {Blame.OVER}


def test_jobs_that_the_provider_itself_fails_on_are_not_excused():
    assert found_after_a_restart(Outage(), FEW, 10.0, None) == {Blame.OWN}


def test_broken_connections_are_the_jobs_own_while_other_calls_in_flight_are_answered():
    outage = Outage()
    for job in FEW:
        failed(outage, job, 10.0, Sign.BROKEN)
    outage.answered(10.4, sent_at=9.0)
    outage.answered(10.8, sent_at=10.2)

    assert {outage.later(job, failed_at=10.0, now=10.9) for job in FEW} == {Blame.OWN}


def test_a_gateway_that_lost_its_provider_is_excused_although_what_was_in_flight_is_answered():
    outage = Outage()
    failed(outage, "a", 10.0, Sign.UNREACHED)
    outage.answered(10.4, sent_at=9.0)
    outage.answered(11.8, sent_at=11.2)

    assert outage.later("a", failed_at=10.0, now=11.9) is Blame.OVER


@pytest.mark.parametrize("sign", GONE)
def test_jobs_that_break_a_provider_which_is_back_at_once_are_excused_twice(sign: Sign):
    outage = Outage()

    found = [found_after_a_restart(outage, FEW, now, sign) for now in (10.0, 20.0, 30.0)]

    assert found == [{Blame.OVER}, {Blame.OVER}, {Blame.OWN}]


@pytest.mark.parametrize("sign", GONE)
def test_the_only_call_in_flight_that_dies_while_others_wait_for_its_slot_is_excused(sign: Sign):
    outage = Outage()
    failed(outage, "a", 10.0, sign)

    assert [outage.later("a", failed_at=10.0, now=10.0 + seconds) for seconds in (1.0, 2.3)] == [None, Blame.AWAY]


def test_the_only_failure_of_a_silent_moment_is_the_jobs_own():
    outage = Outage()
    failed(outage, "a", 10.0)

    assert [outage.later("a", failed_at=10.0, now=10.0 + seconds) for seconds in (1.0, 2.3)] == [None, Blame.OWN]


def test_a_call_that_died_with_its_provider_is_excused_as_soon_as_another_finds_no_connection():
    outage = Outage()
    failed(outage, "a", 10.0)
    assert outage.later("a", failed_at=10.0, now=10.1) is None

    failed(outage, "b", 10.1, Sign.UNREACHABLE)

    assert outage.later("a", failed_at=10.0, now=10.2) is Blame.AWAY
