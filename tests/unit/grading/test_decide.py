"""What follows an attempt, as one table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.budget.outage import Blame
from workers.budget.refusals import Singled
from workers.completion.classify import Blocked, Throttled, Transient
from workers.completion.repair import Repair
from workers.completion.retry_policy import Retry, Spent
from workers.contract.job import JobParameters
from workers.contract.outcome import AccountState, Failure, FailureKind, Success
from workers.contract.schemas.feedback import Feedback
from workers.grading.decide import Counters, FallBack, Finish, Hold, Park, ProviderHealth, Snooze, decide

SUCCESS = Success(Feedback.model_construct())
INVALID = Failure(kind=FailureKind.INVALID_OUTPUT, message="no", raw_output="{", validation_errors=({"msg": "x"},))
EMPTY = Failure(kind=FailureKind.INVALID_OUTPUT, message="Empty response")
REFUSED = Failure(kind=FailureKind.REFUSED, message="The model refused")
DOWN = Transient("The provider failed", None, 500)
DOWN_FOR_7 = Transient("The provider failed", 7.0, 503)
OUT_OF_CREDIT = Blocked(AccountState.QUOTA_EXHAUSTED, "no credit", 429)
REPAIR = Repair(raw_output="{", validation_errors=({"msg": "x"},))
TOO_LATE = Failure(kind=FailureKind.DEADLINE_EXCEEDED, message="the job's deadline passes before the next attempt")


def throttled(wait_seconds: float | None) -> Throttled:
    return Throttled("Rate limit exceeded", wait_seconds, 429)


def gave_up(attempts: int) -> Finish:
    message = f"Failed after {attempts} attempts: The provider failed"
    return Finish(Failure(kind=FailureKind.PROVIDER_UNAVAILABLE, message=message))


def after(spent: int = 1, *, repairs: int = 0, on_fallback: bool = False, left: float | None = None) -> Counters:
    return Counters(spent=Spent(attempts=spent, repairs=repairs), on_fallback=on_fallback, seconds_to_deadline=left)


PLAIN = JobParameters(max_retries=2, retry_delay_seconds=1.0)
REPAIRING = JobParameters(allow_repair=True)
FALLING_BACK = JobParameters(max_retries=0, fallback_model="other")


@pytest.mark.parametrize(
    ("ending", "counters", "parameters", "decision"),
    [
        pytest.param(SUCCESS, after(), PLAIN, Finish(SUCCESS), id="a success ends the round"),
        pytest.param(REFUSED, after(), PLAIN, Finish(REFUSED), id="a refusal is final"),
        pytest.param(INVALID, after(), PLAIN, Finish(INVALID), id="an invalid answer is final without repair"),
        pytest.param(INVALID, after(), REPAIRING, Retry(after_seconds=0, repair=REPAIR), id="it is repaired once"),
        pytest.param(INVALID, after(repairs=1), REPAIRING, Finish(INVALID), id="and not twice"),
        pytest.param(EMPTY, after(), REPAIRING, Finish(EMPTY), id="nothing cannot be repaired"),
        pytest.param(DOWN, after(1), PLAIN, Retry(after_seconds=1), id="a fault is retried after the delay"),
        pytest.param(DOWN, after(2), PLAIN, Retry(after_seconds=2), id="then after twice the delay"),
        pytest.param(DOWN_FOR_7, after(1), PLAIN, Retry(after_seconds=7), id="the server's own wait comes first"),
        pytest.param(DOWN, after(3), PLAIN, gave_up(3), id="max_retries + 1 attempts are the end"),
        pytest.param(
            DOWN, after(30), JobParameters(max_retries=40), Retry(after_seconds=60), id="backoff stops growing"
        ),
        pytest.param(DOWN, after(1), FALLING_BACK, FallBack("other"), id="then the fallback model"),
        pytest.param(DOWN, after(1, on_fallback=True), FALLING_BACK, gave_up(1), id="which has no fallback"),
        pytest.param(DOWN, after(1, left=0.5), PLAIN, Finish(TOO_LATE), id="no attempt starts after the deadline"),
        pytest.param(
            throttled(8.0), after(0), PLAIN, Snooze(after_seconds=8, spread_seconds=2), id="a 429 is a snooze"
        ),
        pytest.param(
            throttled(0.0), after(9), PLAIN, Snooze(after_seconds=0, spread_seconds=0.5), id="however many attempts"
        ),
        pytest.param(
            throttled(None), after(0), PLAIN, Snooze(after_seconds=1, spread_seconds=0.5), id="also without a wait"
        ),
        pytest.param(
            throttled(86_400.0),
            after(0),
            PLAIN,
            Snooze(after_seconds=900, spread_seconds=10),
            id="a day at most 15 min",
        ),
        pytest.param(throttled(8.0), after(0, left=5), PLAIN, Finish(TOO_LATE), id="but not beyond the deadline"),
        pytest.param(
            OUT_OF_CREDIT, after(0), PLAIN, Park(AccountState.QUOTA_EXHAUSTED, "no credit"), id="billing parks"
        ),
    ],
)
def test_what_follows_an_attempt(ending: object, counters: Counters, parameters: JobParameters, decision: object):
    assert decide(ending, counters, parameters) == decision  # type: ignore[arg-type]


SUSPECTED = Blocked(AccountState.AUTH_FAILED, "refused", 403, is_suspected=True)
REJECTED = Failure(kind=FailureKind.REJECTED_REQUEST, message="refused")
SINGLED_OUT = "Refused {} times while no other request of its model was: Rate limit exceeded"
LAST = Singled(among_others=2, alone=5, seconds=63.0, is_last=True)


@pytest.mark.parametrize(
    ("ending", "counters", "health", "decision"),
    [
        pytest.param(DOWN, after(9), ProviderHealth(blame=Blame.AWAY), Hold(), id="an outage is waited for"),
        pytest.param(DOWN_FOR_7, after(9), ProviderHealth(blame=Blame.OVER), Hold(7.0), id="one that is over is not"),
        pytest.param(DOWN_FOR_7, after(9), ProviderHealth(blame=Blame.AWAY), Hold(), id="the model is held, no slot"),
        pytest.param(DOWN_FOR_7, after(1), ProviderHealth(), Retry(after_seconds=7), id="a fault alone is the job's"),
        pytest.param(
            Transient("The provider failed", 86_400.0, 503),
            after(1),
            ProviderHealth(),
            Snooze(after_seconds=900, spread_seconds=10),
            id="a long wait holds no slot",
        ),
        pytest.param(
            SUSPECTED,
            after(1),
            ProviderHealth(suspected_jobs=1),
            Retry(after_seconds=1),
            id="a suspicion is tried again",
        ),
        pytest.param(
            SUSPECTED, after(3), ProviderHealth(suspected_jobs=1), Finish(REJECTED), id="then it is the job's"
        ),
        pytest.param(
            SUSPECTED,
            after(0),
            ProviderHealth(suspected_jobs=2),
            Park(AccountState.AUTH_FAILED, "refused; 2 jobs got it, and none succeeded: check OPENAI_API_KEY"),
            id="until a second job meets it",
        ),
        pytest.param(
            REJECTED, after(1), ProviderHealth(refused_jobs=19), Finish(REJECTED), id="19 refusals are theirs"
        ),
        pytest.param(
            REJECTED,
            after(1),
            ProviderHealth(refused_jobs=20),
            Park(AccountState.REFUSING, "20 jobs in a row were refused, and none succeeded; the last: refused"),
            id="20 are the account's",
        ),
        pytest.param(
            throttled(2.0),
            after(0),
            ProviderHealth(singled=Singled(among_others=9, alone=5, seconds=600.0)),
            Snooze(after_seconds=2, spread_seconds=0.5),
            id="nine refusals among answers are chance",
        ),
        pytest.param(
            throttled(2.0),
            after(0),
            ProviderHealth(singled=Singled(among_others=10)),
            Finish(Failure(kind=FailureKind.REJECTED_REQUEST, message=SINGLED_OUT.format(10))),
            id="ten are the request's",
        ),
        pytest.param(
            throttled(2.0),
            after(0),
            ProviderHealth(singled=LAST),
            Finish(Failure(kind=FailureKind.REJECTED_REQUEST, message=SINGLED_OUT.format(7))),
            id="seven of the last job over a minute are its own",
        ),
        pytest.param(
            throttled(2.0),
            after(0),
            ProviderHealth(singled=replace(LAST, seconds=59.0)),
            Snooze(after_seconds=2, spread_seconds=0.5),
            id="a limit a minute may last as long",
        ),
        pytest.param(
            throttled(2.0),
            after(0),
            ProviderHealth(singled=replace(LAST, is_last=False)),
            Snooze(after_seconds=2, spread_seconds=0.5),
            id="another is refused by now",
        ),
    ],
)
def test_what_others_met_decides_whose_fault_it_is(
    ending: object, counters: Counters, health: ProviderHealth, decision: object
):
    assert decide(ending, counters, PLAIN, health) == decision  # type: ignore[arg-type]
