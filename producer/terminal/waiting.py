"""Why jobs of a batch wait, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.terminal.notices import park_notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.store.parks import ParkedAccount
    from workers.store.progress import Pace, Progress


def why_jobs_wait(
    progress: Progress, pace: Pace, park: ParkedAccount | None, *, closed: str | None, holds: Sequence[str]
) -> tuple[str, ...]:
    """A sentence per reason, the one that stops most first."""
    if not progress.waiting:
        return tuple(holds) if progress.running else ()
    if park is not None:
        return (park_notice(park),)
    if closed is not None:
        return (closed,)
    reasons = list(holds)
    if not pace.live_workers:
        reasons.append(
            f"no worker serves the queue {progress.queue} for {progress.provider}; "
            f"start one with: {_worker_command(progress)} (Ctrl-C stops it)"
        )
    if progress.deferred:
        seconds = max(1, round(pace.next_due_seconds or 0))
        reasons.append(f"{progress.deferred} rate-limited; next retry in {seconds} s")
    in_lanes = sum(each.waiting for each in progress.lanes)
    if in_lanes:
        reasons.append(f"{in_lanes} wait for a cheaper lane")
    if pace.live_workers and (waiting := progress.waiting - progress.deferred - in_lanes) > 0:
        reasons.append(f"{waiting} wait for a free slot in a worker")
    return tuple(reasons)


def _worker_command(progress: Progress) -> str:
    offline = " --offline" if progress.provider == "standin" else ""
    return f"gradequeue worker --queues {progress.queue}{offline}"
