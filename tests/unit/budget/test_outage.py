"""A provider that is away is told from a job that the provider fails on."""

from __future__ import annotations

from workers.budget.outage import BROKEN_TOGETHER, MOST_EXCUSED, Outage

TOGETHER = [f"job {number}" for number in range(BROKEN_TOGETHER)]


def failed(outage: Outage, job_id: str, now: float, *, unreachable: bool = False, broken: bool = False) -> bool | None:
    return outage.failed(job_id, sent_at=now - 0.1, now=now, is_unreachable=unreachable, is_broken=broken)


def found_after_a_restart(outage: Outage, jobs: list[str], now: float, *, broken: bool = True) -> set[bool | None]:
    """All of them fail at once, and the next call is answered a second later."""
    found = {job: failed(outage, job, now, broken=broken) for job in jobs}
    outage.answered(now + 1.0, sent_at=now + 0.9)
    return {outage.later(job, failed_at=now, now=now + 1.1) if told is None else told for job, told in found.items()}


def test_without_a_connection_the_first_failure_is_an_outage():
    assert failed(Outage(), "a", 10.0, unreachable=True)


def test_a_connection_that_fails_while_others_are_answered_is_none():
    outage = Outage()
    outage.answered(9.95, sent_at=9.0)

    assert not failed(outage, "a", 10.0, unreachable=True)


def test_a_single_server_error_is_the_jobs_own():
    assert not failed(Outage(), "a", 10.0)


def test_server_errors_of_several_jobs_over_seconds_without_an_answer_are_an_outage():
    outage = Outage()

    assert [failed(outage, "a", 10.0), failed(outage, "b", 10.2), failed(outage, "a", 12.0)] == [None, None, True]


def test_one_job_alone_is_never_excused_for_server_errors():
    outage = Outage()

    assert not any(failed(outage, "a", 10.0 + second) for second in range(30))


def test_an_answer_ends_the_outage():
    outage = Outage()
    failed(outage, "a", 10.0)
    failed(outage, "b", 10.0)
    outage.answered(11.9, sent_at=9.0)

    assert not failed(outage, "a", 12.5)


def test_a_job_that_failed_while_a_later_call_was_served_is_excused_no_more():
    outage = Outage()
    failed(outage, "poison", 10.0)
    outage.answered(11.0, sent_at=10.5)
    failed(outage, "other", 11.5)

    assert not failed(outage, "poison", 15.0)
    assert failed(outage, "other", 15.0), "nothing speaks against the provider but silence, and nothing for it"


def test_an_answer_to_a_call_from_before_the_outage_says_nothing_of_who_failed_in_it():
    outage = Outage()
    failed(outage, "a", 10.0)
    outage.answered(11.0, sent_at=9.9)
    failed(outage, "b", 11.0)

    assert failed(outage, "a", 13.5)


def test_jobs_that_break_the_provider_are_not_excused_for_ever():
    outage = Outage()

    excused = [failed(outage, job, 10.0 + second) for second in range(30) for job in "ab"]

    assert excused[4:20] == [True] * 16
    assert not any(excused[:4])
    assert excused.count(True) <= 2 * MOST_EXCUSED
    assert not any(excused[2 * MOST_EXCUSED :])


def test_calls_that_die_with_their_provider_are_an_outage_as_soon_as_nobody_was_answered_for_a_while():
    outage = Outage()
    outage.answered(9.99, sent_at=9.0)
    assert failed(outage, "a", 10.0) is None
    assert failed(outage, "b", 10.0) is None
    outage.answered(10.1, sent_at=9.0)

    found = [[outage.later(job, failed_at=10.0, now=now) for job in "ab"] for now in (11.0, 12.0, 12.2)]

    assert found == [[None, None], [None, None], [True, True]]


def test_a_failure_is_the_jobs_own_as_soon_as_another_is_answered_after_it():
    outage = Outage()
    failed(outage, "a", 10.0)
    failed(outage, "b", 10.0)
    outage.answered(10.3, sent_at=9.0)

    assert outage.later("a", failed_at=10.0, now=10.4) is False


def test_jobs_whose_calls_died_together_are_excused_when_the_provider_is_back_within_a_second():
    outage = Outage()
    outage.answered(9.9, sent_at=9.0)

    assert found_after_a_restart(outage, TOGETHER, 10.0) == {True}


def test_what_is_left_of_a_batch_and_fails_by_itself_is_not_excused_by_the_silence_around_it():
    outage = Outage()
    outage.answered(9.9, sent_at=9.0)

    assert found_after_a_restart(outage, TOGETHER[:-1], 10.0) == {False}
    assert found_after_a_restart(outage, [f"other {job}" for job in TOGETHER], 20.0, broken=False) == {False}


def test_broken_connections_are_the_jobs_own_while_other_calls_in_flight_are_answered():
    outage = Outage()
    for job in TOGETHER:
        failed(outage, job, 10.0, broken=True)
    outage.answered(10.4, sent_at=9.0)
    outage.answered(10.8, sent_at=10.2)

    assert {outage.later(job, failed_at=10.0, now=10.9) for job in TOGETHER} == {False}


def test_jobs_that_break_a_provider_which_is_back_at_once_are_excused_twice():
    outage = Outage()

    assert [found_after_a_restart(outage, TOGETHER, now) for now in (10.0, 20.0, 30.0)] == [{True}, {True}, {False}]


def test_the_only_failure_of_a_silent_moment_is_the_jobs_own():
    outage = Outage()
    failed(outage, "a", 10.0)

    assert [outage.later("a", failed_at=10.0, now=10.0 + seconds) for seconds in (1.0, 2.3)] == [None, False]


def test_a_call_that_died_with_its_provider_is_excused_as_soon_as_another_finds_no_connection():
    outage = Outage()
    failed(outage, "a", 10.0)
    assert outage.later("a", failed_at=10.0, now=10.1) is None

    failed(outage, "b", 10.1, unreachable=True)

    assert outage.later("a", failed_at=10.0, now=10.2) is True
