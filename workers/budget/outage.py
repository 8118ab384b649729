"""Tells an outage of the provider from a job that fails by itself. One process's view of one model. Pure.

While other calls are answered, a failed call is the job's own failure. While none is, it may be an outage:

    no connection             an outage if nothing was answered since the call began
    broken connection or 5xx  an outage if it happens to several jobs, for a while
    many connections broken   an outage of a moment, if they break together and no call in flight then is answered

A provider dies under many calls at once, and the first of them knows nothing yet: what cannot be told is asked again,
until some call is answered or none was for that while.

A job that failed while a later call was answered is known to fail by itself, and its failures never count as an outage:
such jobs are often the last ones left, when no other call is answered. Others are excused a limited number of times.
A provider that restarts within a second answers later calls too: jobs that failed together before are excused, twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile

SILENT_SECONDS = 2.0
"""Without an answer, before failures of several jobs are an outage: overload of a busy server is shorter."""
SEVERAL_JOBS = 2
ON_ITS_WAY_SECONDS = 0.25
"""After a failure, an answer that was on its way already says nothing of the provider."""
SHORTEST_OUTAGE_SECONDS = 0.5
"""From broken connections to the first answer. A healthy server answers calls in flight meanwhile."""
BROKEN_TOGETHER = 10
"""Jobs whose connections break at once: fewer may be the last ones of a batch, which break them themselves."""
MOST_SHORT_OUTAGES = 2
"""That one job is excused for: one that breaks the provider fails in each."""
MOST_EXCUSED = 10
"""Consecutive failures of one job attributed to an outage although the provider accepted the call."""
MOST_KNOWN = 10_000
"""Jobs known to fail by themselves; the oldest are dropped."""


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
    _failing_alone: dict[str, None] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    """Those of `_failed_at` whose connection broke before a response."""
    _short_outages: dict[str, list[float]] = field(default_factory=dict)
    """By job: when it failed in one."""

    def answered(self, now: float, *, sent_at: float) -> None:
        """A call was answered, whatever the answer."""
        silent_since = self._answered_at - ON_ITS_WAY_SECONDS
        failed_before = list(takewhile(lambda failure: failure[1] < sent_at, self._failed_at.items()))
        together = [at for job_id, at in failed_before if at >= silent_since and job_id in self._broken]
        is_outage = (
            len(together) >= BROKEN_TOGETHER
            and together[-1] - together[0] <= ON_ITS_WAY_SECONDS
            and now - together[0] >= SHORTEST_OUTAGE_SECONDS
        )
        for job_id, failed_at in failed_before:
            del self._failed_at[job_id]
            excused = self._short_outages.get(job_id, [])
            if is_outage and failed_at in together and len(excused) < MOST_SHORT_OUTAGES:
                self._short_outages[job_id] = [*excused, failed_at]
            else:
                self._failing_alone[job_id] = None
            self._broken.discard(job_id)
        self._answered_at = now
        self._failures.clear()
        for known in (self._failing_alone, self._short_outages):
            while len(known) > MOST_KNOWN:
                del known[next(iter(known))]

    def failed(
        self, job_id: str, *, sent_at: float, now: float, is_unreachable: bool, is_broken: bool = False
    ) -> bool | None:
        """Whether the failure of this job's call belongs to an outage; None when only `later` can tell.

        `is_broken`: the connection was made, and broke before a response.
        """
        if is_unreachable:
            if self._answered_at >= sent_at:
                return False
            self._unreachable_at = now
            return True
        self._failed_at.pop(job_id, None)
        self._failed_at[job_id] = now
        if is_broken:
            self._broken.add(job_id)
        else:
            self._broken.discard(job_id)
        if not self._failures:
            self._began_at = now
        failures = self._failures[job_id] = self._failures.get(job_id, 0) + 1
        if job_id in self._failing_alone or failures > MOST_EXCUSED:
            return False
        return True if self._is_silence(now) else None

    def later(self, job_id: str, *, failed_at: float, now: float) -> bool | None:
        """Ask again about a failure that could not be told then; it can a moment after `SILENT_SECONDS`."""
        if job_id in self._failing_alone:
            return False
        if failed_at in self._short_outages.get(job_id, ()):
            return True
        if self._unreachable_at >= failed_at - ON_ITS_WAY_SECONDS:
            return True
        if self._answered_at >= failed_at + ON_ITS_WAY_SECONDS:
            return False
        if now - max(failed_at, self._answered_at) >= SILENT_SECONDS:
            return len(self._failed_at) >= SEVERAL_JOBS
        return None

    def _is_silence(self, now: float) -> bool:
        is_silent = now - max(self._began_at, self._answered_at) >= SILENT_SECONDS
        return is_silent and len(self._failures) >= SEVERAL_JOBS
