"""All that changes while a stand-in runs: its configuration and what follows from it."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import TYPE_CHECKING, Any

from ops.standin.faults import FaultScript
from ops.standin.invoice import Invoice
from ops.standin.lanes.backlog import Backlog
from ops.standin.limits import Limiter
from ops.standin.prompt_cache import PromptCache
from ops.standin.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ops.standin.config import Config

_FIRST_EPOCH_READING = 1_000_000_000.0
"""A clock that shows so much counts from 1970; no machine has been up for thirty years."""


class State:
    """One stand-in's state. The clock gives seconds and never goes back."""

    def __init__(self, config: Config, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shift_seconds = 0.0
        began_at = clock()
        self.epoch = 0.0 if began_at >= _FIRST_EPOCH_READING else time.time() - began_at
        """Added to a reading of the clock it gives seconds since 1970."""
        self.config = config
        self.limiter = Limiter(config)
        self.tally = Tally(started_at=clock())
        self.cache = PromptCache()
        self.invoice = Invoice()
        self.script = self._new_script()
        self.slots = _slots(config)
        self.may_answer = asyncio.Event()
        self._let_answer()
        self._latency = Random(config.seed)  # noqa: S311 - made-up delays, not secrets
        self.backlog = Backlog(self)

    def clock(self) -> float:
        """Seconds, with all that `pass_time` added."""
        return self._clock() + self._shift_seconds

    def pass_time(self, seconds: float) -> None:
        """Let the clock jump ahead; ValueError for a jump back."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"time passes by a number of seconds from 0, not {seconds!r}")
        self._shift_seconds += seconds

    def configure(self, changes: Mapping[str, object]) -> Config:
        """Change some settings from now on; ValueError, with nothing changed, when one is not possible.

        What the buckets hold stays. Naming `faults` replaces the whole script and its counts.
        """
        self.config = self.config.changed(changes)
        self.limiter.change(self.config, now=self.clock())
        self._let_answer()
        if "faults" in changes:
            self.script = self._new_script()
        if "lane_faults" in changes:
            self.backlog.rescript()
        if "slots" in changes:
            self.slots = _slots(self.config)  # who waits at the old ones goes on there
        return self.config

    def reset(self) -> None:
        """Forget every count, cached prompt, bill, file and batch, fill every bucket and start the scripts again.

        Calls in flight stay counted as such.
        """
        in_flight = self.tally.in_flight
        self.tally = Tally(started_at=self.clock())
        self.tally.in_flight = self.tally.most_in_flight = in_flight
        self.limiter = Limiter(self.config)
        self.cache, self.invoice = PromptCache(), Invoice()
        self.script = self._new_script()
        self.backlog = Backlog(self)

    def stats(self, *, prompts: bool = False) -> dict[str, Any]:
        """Every counter, as the control API shows it."""
        return self.tally.snapshot(now=self.clock(), prompts=prompts) | self.backlog.stats()

    def next_latency_seconds(self) -> float:
        """How long the next answer takes."""
        low, high = self.config.latency_ms
        return self._latency.uniform(low, high) / 1_000 if high else 0.0

    def _let_answer(self) -> None:
        if self.config.answers:
            self.may_answer.set()
        else:
            self.may_answer.clear()

    def _new_script(self) -> FaultScript:
        return FaultScript(self.config.faults, random=Random(self.config.seed))  # noqa: S311


def _slots(config: Config) -> asyncio.Semaphore | None:
    return asyncio.Semaphore(config.slots) if config.slots else None
