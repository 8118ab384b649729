"""Live progress of a batch on a terminal, or a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from producer.terminal.words import STANDIN_NOTICE, cost, duration
from workers.contract.outcome import AttemptEnding
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from types import TracebackType

    from workers.store.progress import Progress

RATE_WINDOW_SECONDS = 15.0
"""The rate shown is that of the last quarter of a minute: steady enough to read, quick enough to notice a stall."""
PLAIN_PERIOD_SECONDS = 5.0
"""Without a terminal, one line so often."""


class ProgressDisplay:
    """Live on a terminal; a plain line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._samples: deque[tuple[float, int]] = deque()
        self._began_at = time.monotonic()
        self._next_line_at = self._began_at

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress, *, note: str = "") -> None:
        """Show the progress."""
        rate = self._rate(progress.finished)
        if self._live is not None:
            self._live.update(_panel(progress, rate, note))
            return
        now = time.monotonic()
        if now >= self._next_line_at:
            self._next_line_at = now + PLAIN_PERIOD_SECONDS
            self._console.print(_plain_line(progress, rate, now - self._began_at, note))

    def _rate(self, finished: int) -> float | None:
        """Jobs per second over the window; None until it is known."""
        now = time.monotonic()
        self._samples.append((now, finished))
        while now - self._samples[0][0] > RATE_WINDOW_SECONDS:
            self._samples.popleft()
        began_at, began = self._samples[0]
        return (finished - began) / (now - began_at) if now - began_at >= 1.0 else None


def _panel(progress: Progress, rate: float | None, note: str) -> Group:
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=progress.total or 1, completed=progress.finished, width=40),
        f"{progress.finished}/{progress.total}",
        f"{rate:.1f}/s" if rate is not None else "",
        f"{duration(_seconds_left(progress, rate))} left" if rate else "",
    )
    lines: list[RenderableType] = [bar, Text("  ".join(_facts(progress)))]
    if note:
        lines.append(Text(note, style="yellow"))
    if progress.provider == STANDIN_PROVIDER:
        lines.append(Text(STANDIN_NOTICE, style="bold magenta"))
    return Group(*lines)


def _plain_line(progress: Progress, rate: float | None, elapsed: float, note: str) -> str:
    parts = [f"{duration(elapsed)}", f"{progress.finished}/{progress.total} done", *_facts(progress)]
    if rate:
        parts += [f"{rate:.1f}/s", f"{duration(_seconds_left(progress, rate))} left"]
    return "  ".join([*parts, *([note] if note else [])])


def _facts(progress: Progress) -> list[str]:
    facts = [f"running {progress.running}", f"waiting {progress.waiting}"]
    if progress.deferred:
        facts.append(f"(deferred {progress.deferred})")
    facts += [f"{each.lane} {each.waiting + each.handed_over}" for each in progress.lanes]
    facts += [f"{kind} {count}" for kind, count in progress.failures.items()]
    facts += [f"{kind} {count}" for kind, count in progress.flags.items()]
    if throttled := progress.attempts.get(AttemptEnding.THROTTLED):
        facts.append(f"throttled {throttled}")
    facts.append(f"{progress.usage.total_tokens:,} tokens")
    if progress.cost_usd:
        facts.append(cost(progress.cost_usd))
    return facts


def _seconds_left(progress: Progress, rate: float | None) -> float:
    return (progress.total - progress.finished) / rate if rate else 0.0
