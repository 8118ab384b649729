"""What a terminal shows: live progress, the closing table, one line per failure. Never a prompt."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from workers.contract.outcome import AttemptEnding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from workers.store.parks import Park
    from workers.store.reading import Progress, Repeats, ResultRow

RATE_WINDOW_SECONDS = 15.0
"""The rate shown is that of the last quarter of a minute: steady enough to read, quick enough to notice a stall."""
PLAIN_PERIOD_SECONDS = 5.0
"""Without a terminal, one line so often."""
MOST_RESULT_ROWS = 25
CELL_WIDTH = 60
STANDIN_NOTICE = "STAND-IN PROVIDER: these grades are not real"


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
        """Show where the batch stands."""
        rate = self._rate(progress.finished)
        if self._live is not None:
            self._live.update(_panel(progress, rate, note))
            return
        now = time.monotonic()
        if now >= self._next_line_at:
            self._next_line_at = now + PLAIN_PERIOD_SECONDS
            self._console.print(_plain_line(progress, rate, now - self._began_at, note), highlight=False)

    def _rate(self, finished: int) -> float | None:
        """Jobs per second over the window; None until it can be told."""
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
        f"{_duration(_seconds_left(progress, rate))} left" if rate else "",
    )
    lines: list[RenderableType] = [bar, Text("  ".join(_facts(progress)))]
    if note:
        lines.append(Text(note, style="yellow"))
    if progress.provider == "standin":
        lines.append(Text(STANDIN_NOTICE, style="bold magenta"))
    return Group(*lines)


def _plain_line(progress: Progress, rate: float | None, elapsed: float, note: str) -> str:
    parts = [f"{_duration(elapsed)}", f"{progress.finished}/{progress.total} done", *_facts(progress)]
    if rate:
        parts += [f"{rate:.1f}/s", f"{_duration(_seconds_left(progress, rate))} left"]
    return "  ".join([*parts, *([note] if note else [])])


def _facts(progress: Progress) -> list[str]:
    facts = [f"running {progress.running}", f"waiting {progress.waiting}"]
    if progress.deferred:
        facts.append(f"(deferred {progress.deferred})")
    facts += [f"{kind} {count}" for kind, count in progress.failures.items()]
    if throttled := progress.attempts.get(AttemptEnding.THROTTLED):
        facts.append(f"throttled {throttled}")
    facts.append(f"{progress.usage.total_tokens:,} tokens")
    if progress.cost_usd:
        facts.append(f"${progress.cost_usd:.4f}")
    return facts


def _seconds_left(progress: Progress, rate: float | None) -> float:
    return (progress.total - progress.finished) / rate if rate else 0.0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def summary_table(progress: Progress, *, elapsed_seconds: float | None = None) -> Table:
    """A batch in one table: counts, failures with what to do, tokens, cost."""
    table = Table(title=f"batch {progress.batch}", title_justify="left", show_header=False)
    table.add_row("jobs", f"{progress.total}")
    table.add_row("succeeded", f"{progress.succeeded}")
    for kind, count in progress.failures.items():
        table.add_row(f"failed: {kind}", f"{count}   {kind.advice}")
    if progress.waiting or progress.running:
        table.add_row("waiting, running", f"{progress.waiting}, {progress.running}")
    table.add_row("requests", _requests(progress.attempts))
    for what, count, cost_usd in _repeated(progress.repeats):
        table.add_row(what, f"{count}   {cost_text(cost_usd)}")
    table.add_row("tokens", f"{progress.usage.prompt_tokens:,} in, {progress.usage.completion_tokens:,} out")
    table.add_row("cost", "nothing is paid" if progress.provider == "standin" else cost_text(progress.cost_usd))
    if elapsed_seconds is not None:
        table.add_row("time", _duration(elapsed_seconds))
    if progress.provider == "standin":
        table.add_row("provider", Text(STANDIN_NOTICE, style="bold magenta"))
    else:
        table.add_row("provider", progress.provider)
    return table


def _repeated(repeats: Repeats) -> list[tuple[str, int, float | None]]:
    """What was, or may have been, paid for twice; nothing where nothing was."""
    found = [
        ("sent again after an answer or an unknown ending", repeats.repeated, repeats.repeated_cost_usd),
        ("interrupted: may have been billed", repeats.unknown, repeats.unknown_cost_usd),
    ]
    return [row for row in found if row[1]]


def budgets_table(budgets: Iterable[Mapping[str, Any]]) -> Table:
    """The provider's limits as the workers last saw them."""
    table = Table(title="limits, as the workers last saw them", title_justify="left")
    table.add_column("model", overflow="fold")
    for name in ("requests/min", "used", "tokens/min", "tokens left", "waiting", "429s"):
        table.add_column(name, justify="right")
    for budget in budgets:
        table.add_row(
            str(budget.get("model")),
            _count(budget.get("requests_limit")),
            _count(budget.get("requests_used")),
            _count(budget.get("tokens_limit")),
            _count(budget.get("tokens_left")),
            _count(budget.get("waiting")),
            _count(budget.get("refusals")),
        )
    return table


def _count(value: Any) -> str:
    return "no limit known" if value is None else f"{value:,.0f}"


def _requests(attempts: Mapping[str, int]) -> str:
    parts = [f"{count} {ending}" for ending, count in sorted(attempts.items())]
    return ", ".join(parts) or "none"


def cost_text(cost_usd: float | None) -> str:
    """Dollars, or that the price is not known: never a zero that stands for ignorance."""
    return "unknown (no price for this model)" if cost_usd is None else f"${cost_usd:.4f}"


def results_table(rows: Iterable[ResultRow]) -> Table:
    """A few results at a glance."""
    table = Table(title="results", title_justify="left")
    table.add_column("id", overflow="fold")
    table.add_column("state")
    table.add_column("result", overflow="fold")
    for row in rows:
        if row.failure_kind is not None:
            table.add_row(Text(row.id), Text("failed", style="red"), Text(f"{row.failure_kind}: {row.failure_message}"))
        else:
            table.add_row(Text(row.id), row.state, Text(brief(row.result)))
    return table


def failures_table(rows: Iterable[ResultRow]) -> Table:
    """One line per failed job. The message is ours; what the model said stays in the store."""
    table = Table(title="failures", title_justify="left")
    table.add_column("id", overflow="fold")
    table.add_column("kind")
    table.add_column("round", justify="right")
    table.add_column("message", overflow="fold")
    for row in rows:
        table.add_row(Text(row.id), str(row.failure_kind), str(row.round), Text(row.failure_message or ""))
    return table


def brief(result: object) -> str:
    """A result in one line: numbers as they are, lists by their length, texts cut."""
    if not isinstance(result, dict):
        return "" if result is None else str(result)
    return "  ".join(f"{name}={_brief_value(value)}" for name, value in result.items())


def _brief_value(value: object) -> str:
    if isinstance(value, list | dict):
        return f"[{len(value)}]"
    text = str(value)
    return text if len(text) <= CELL_WIDTH else text[: CELL_WIDTH - 1] + "…"


def park_notice(park: Park) -> str:
    """What the operator must do for a parked account."""
    return f"{park.account} is parked ({park.state}): {park.state.advice}"
