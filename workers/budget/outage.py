"""Distinguishes an outage of the provider from a job that fails by itself. One process's view of one model. Pure.

A failed call is the job's own failure while other calls are answered. While none is, it may be an outage:

    no connection             an outage, unless calls are answered: then those that are sent later show what it was
    a gateway's "nobody"      as no connection, but the request was accepted, and may itself have ended who answers
    broken connection         the job's own if a call in flight with it is answered: who dies breaks all of them
    another 5xx               an outage if it happens to several jobs, for a while

A provider dies under many calls at once, and the first of them knows nothing yet: the undecided is asked again,
until some call is answered or none was for that while.

The first three say that nobody was there. A provider that was gone for a moment answers later calls like a healthy
one under which a job fails by itself: such failures are excused, twice for each job, and hold nothing (`Blame.OVER`).
While nobody is answered, failures are excused a limited number of times.

A job that failed while a later call was answered, and is not excused, is known to fail by itself, and its failures
never count as an outage: such jobs are often the last ones left, when no other call is answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from itertools import takewhile

SILENT_SECONDS = 2.0
"""Without an answer, before failures are an outage: overload of a busy server is shorter."""
SEVERAL_JOBS = 2
ON_ITS_WAY_SECONDS = 0.25
"""After a failure, an answer that was on its way already says nothing of the provider."""
MOST_SHORT_OUTAGES = 2
"""That one job is excused for: one that breaks the provider fails in each."""
MOST_EXCUSED = 10
"""Consecutive failures of one job attributed to an outage although the provider accepted the call."""
MOST_KNOWN = 10_000
"""Jobs known to fail by themselves; the oldest are dropped."""


class Blame(Enum):
    """Whose fault a failed call is."""

    OWN = "own"
    """The job's: it spends an attempt."""
    AWAY = "away"
    """The provider answers nobody: no attempt is spent, and the model is held."""
    OVER = "over"
    """The provider was away and answers again: no attempt is spent, and nothing waits."""


class Sign(Enum):
    """What says that nobody was there."""

    UNREACHABLE = "unreachable"
    """No connection was made."""
    UNREACHED = "unreached"
    """A gateway answers for a provider that it does not reach."""
    BROKEN = "broken"
    """The connection was made, and broke before a response."""


@dataclass(slots=True)
class Outage:
    """Failures since the last answer. Times are seconds of one clock."""

    _answered_at: float = float("-inf")
    _unreachable_at: float = float("-inf")
    _began_at: float = 0.0
    _failures: dict[str, int] = field(default_factory=dict)
    """By job, since the last answer."""
    _failed_at: dict[str, float] = field(default_factory=dict)
    """By job, in order of time."""
    _signs: dict[str, Sign] = field(default_factory=dict)
    """Of those of `_failed_at` that have one."""
    _failing_alone: dict[str, None] = field(default_factory=dict)
    _excused: dict[str, list[float]] = field(default_factory=dict)
    """By job: when it failed in short outages."""

    def answered(self, now: float, *, sent_at: float) -> None:
        """A call was answered, whatever the answer."""
        for job_id, failed_at in list(takewhile(lambda failure: failure[1] < sent_at, self._failed_at.items())):
            excused = self._excused.get(job_id, [])
            if self._was_gone(job_id, failed_at) and len(excused) < MOST_SHORT_OUTAGES:
                self._excused[job_id] = [*excused, failed_at]
            else:
                self._failing_alone[job_id] = None
            del self._failed_at[job_id]
            self._signs.pop(job_id, None)
        self._answered_at = now
        self._failures.clear()
        for known in (self._failing_alone, self._excused):
            while len(known) > MOST_KNOWN:
                del known[next(iter(known))]

    def failed(self, job_id: str, *, sent_at: float, now: float, sign: Sign | None = None) -> Blame | None:
        """Whose fault the failure of this job's call is; None when only `later` can say."""
        if sign is Sign.UNREACHABLE and self._answered_at < sent_at:
            self._unreachable_at = now
            return Blame.AWAY
        self._failed_at.pop(job_id, None)
        self._failed_at[job_id] = now
        self._signs.pop(job_id, None)
        if sign is not None:
            self._signs[job_id] = sign
        if not self._failures:
            self._began_at = now
        failures = self._failures[job_id] = self._failures.get(job_id, 0) + 1
        if job_id in self._failing_alone or failures > MOST_EXCUSED:
            return Blame.OWN
        return Blame.AWAY if self._is_silence(now) else None

    def later(self, job_id: str, *, failed_at: float, now: float) -> Blame | None:
        """Ask again about a failure that could not be decided then; it can a moment after `SILENT_SECONDS`."""
        if job_id in self._failing_alone:
            return Blame.OWN
        if failed_at in self._excused.get(job_id, ()):
            return Blame.OVER
        if self._unreachable_at >= failed_at - ON_ITS_WAY_SECONDS:
            return Blame.AWAY
        if self._answered_at >= failed_at + ON_ITS_WAY_SECONDS and not self._waits_for_later_calls(job_id):
            return Blame.OWN
        if now - max(failed_at, self._answered_at) >= SILENT_SECONDS:
            return Blame.AWAY if len(self._failed_at) >= SEVERAL_JOBS else self.alone(job_id)
        return None

    def alone(self, job_id: str) -> Blame:
        """About a failure that could not be decided and beside which no other call is out."""
        return Blame.AWAY if job_id in self._signs else Blame.OWN

    def _was_gone(self, job_id: str, failed_at: float) -> bool:
        """Nothing speaks against it: who breaks connections as it dies answers none of the calls in flight."""
        is_silent = failed_at >= self._answered_at - ON_ITS_WAY_SECONDS
        return self._waits_for_later_calls(job_id) or (job_id in self._signs and is_silent)

    def _waits_for_later_calls(self, job_id: str) -> bool:
        """A provider that stops in order answers what is in flight, and takes nothing new."""
        return self._signs.get(job_id) in {Sign.UNREACHABLE, Sign.UNREACHED}

    def _is_silence(self, now: float) -> bool:
        is_silent = now - max(self._began_at, self._answered_at) >= SILENT_SECONDS
        return is_silent and len(self._failures) >= SEVERAL_JOBS
