"""All that changes while a stand-in runs: its configuration and what follows from it."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

from ops.standin.faults import FaultScript
from ops.standin.invoice import Invoice
from ops.standin.limits import Limiter
from ops.standin.prompt_cache import PromptCache
from ops.standin.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ops.standin.config import Config


class State:
    """One stand-in's state. The clock gives seconds and never goes back."""

    def __init__(self, config: Config, *, clock: Callable[[], float]) -> None:
        self.clock = clock
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

    def configure(self, changes: Mapping[str, object]) -> Config:
        """Change some settings from now on; ValueError, with nothing changed, when one is not possible.

        What stands in the buckets stays. Naming `faults` replaces the whole script and its counts.
        """
        self.config = self.config.changed(changes)
        self.limiter.change(self.config, now=self.clock())
        self._let_answer()
        if "faults" in changes:
            self.script = self._new_script()
        if "slots" in changes:
            self.slots = _slots(self.config)  # who waits at the old ones goes on there
        return self.config

    def reset(self) -> None:
        """Forget every count, cached prompt and bill, fill every bucket and start the script again.

        Calls in flight stay counted as such.
        """
        in_flight = self.tally.in_flight
        self.tally = Tally(started_at=self.clock())
        self.tally.in_flight = self.tally.most_in_flight = in_flight
        self.limiter = Limiter(self.config)
        self.cache, self.invoice = PromptCache(), Invoice()
        self.script = self._new_script()

    def stats(self, *, prompts: bool = False) -> dict[str, Any]:
        """Every counter, as the control API shows it."""
        return self.tally.snapshot(now=self.clock(), prompts=prompts)

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
