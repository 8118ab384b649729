"""Tables of batches: counts, limits, results, failures. Never a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from producer.inputs.courses.roster import display_name
from producer.terminal.words import STANDIN_NOTICE, command, cost, cost_between, counted, duration
from workers.contract.flag import FlagKind
from workers.contract.headline import DEDUCTIONS, TOTALS, headline
from workers.contract.outcome import FailureKind
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workers.store.lanes.overview import LaneLook
    from workers.store.progress import Progress, Repeats
    from workers.store.results import ResultRow

MOST_RESULT_ROWS = 25
FIRST_RESULT_ROWS = 10
"""Of a batch that has more than `MOST_RESULT_ROWS`."""
CELL_WIDTH = 60
_OWN_COLUMNS = ("name", "points", "band")


def summary_table(progress: Progress, *, elapsed_seconds: float | None = None, cap: str | None = None) -> Table:
    """A batch in one table: counts, failures with what to do, tokens, cost; `cap` is what is spent of its cap."""
    table = Table(title=f"batch {progress.batch}", title_justify="left", show_header=False)
    table.add_row("jobs", f"{progress.total}")
    table.add_row("succeeded", f"{progress.succeeded}")
    for kind, count in progress.failures.items():
        table.add_row(f"failed: {kind}", f"{count}   {_advice(kind, progress)}")
    if progress.followers:
        table.add_row("same work", f"{progress.followers}   graded once with another job's, at no cost")
    for flag, count in progress.flags.items():
        table.add_row(f"flagged: {flag}", f"{count}   {flag.advice}")
    if progress.waiting or progress.running:
        table.add_row("waiting, running", f"{progress.waiting}, {progress.running}")
    for look in progress.lanes:
        table.add_row(f"lane {look.lane}", lane_line(look))
    table.add_row("requests", _requests(progress.attempts))
    for what, count, due in _repeated(progress.repeats):
        table.add_row(what, f"{count}   {due}")
    table.add_row("tokens", f"{progress.usage.prompt_tokens:,} in, {progress.usage.completion_tokens:,} out")
    table.add_row("cost", cost(progress.cost_usd, progress.provider))
    if cap is not None:
        table.add_row("spend cap", cap)
    if elapsed_seconds is not None:
        table.add_row("time", duration(elapsed_seconds))
    if progress.provider == STANDIN_PROVIDER:
        table.add_row("provider", Text(STANDIN_NOTICE, style="bold magenta"))
    else:
        table.add_row("provider", progress.provider)
    return table


def lane_line(look: LaneLook) -> str:
    """Jobs in one lane, and when their answers are likely."""
    handed_over = f"{look.handed_over} at the provider in {counted(look.submissions, 'submission')}"
    parts = [
        *([f"{look.waiting} to be handed over"] if look.waiting else []),
        *([handed_over] if look.submissions else []),
    ]
    if look.expected_seconds is not None:
        soon = "any time now" if not look.expected_seconds else f"within {duration(look.expected_seconds)}"
        parts.append(f"answers likely {soon}")
    return ", ".join(parts)


def _advice(kind: FailureKind, progress: Progress) -> str:
    if kind is FailureKind.INVALID_OUTPUT and FlagKind.EVIDENCE_NOT_FOUND in progress.flags:
        said_by = command("failures", progress.batch)
        return f"The answer did not fit the schema, or quotes what is not in the work; which, says: {said_by}"
    return kind.advice


def _repeated(repeats: Repeats) -> list[tuple[str, int, str]]:
    """What was, or may have been, paid for twice; only what is not zero."""
    found = [
        ("repeated requests", repeats.repeated, cost(repeats.repeated_cost_usd)),
        ("interrupted: may have been billed", repeats.unknown, cost_between(0.0, repeats.unknown_most_usd)),
    ]
    return [row for row in found if row[1]]


def budgets_table(budgets: Iterable[Mapping[str, Any]]) -> Table:
    """The provider's limits as the workers last saw them."""
    table = Table(title="limits, as the workers last saw them", title_justify="left")
    budgets = list(budgets)
    has_accounts = len({budget.get("account") for budget in budgets}) > 1
    for name in (*(["account"] if has_accounts else []), "model"):
        table.add_column(name, overflow="fold")
    for name in ("requests/min", "used", "tokens/min", "tokens left", "waiting", "429s"):
        table.add_column(name, justify="right")
    for budget in budgets:
        table.add_row(
            *([str(budget.get("account"))] if has_accounts else []),
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


def results_table(rows: Iterable[ResultRow], *, total: int | None = None) -> Table:
    """A few results at a glance, of so many; name, points and band have columns where a row has them."""
    rows = list(rows)
    title = "results" if total is None or total <= len(rows) else f"results (the first {len(rows)} of {total:,})"
    table = Table(title=title, title_justify="left")
    cells = [_result_cells(row) for row in rows]
    columns = [name for name in _OWN_COLUMNS if any(name in each for each in cells)]
    table.add_column("id", overflow="fold")
    for name in columns:
        table.add_column(name, overflow="fold")
    table.add_column("state")
    table.add_column("result", overflow="fold")
    for row, own in zip(rows, cells, strict=True):
        failed = row.failure_kind is not None
        table.add_row(
            Text(row.id),
            *(Text(own.get(name, "")) for name in columns),
            Text("failed", style="red") if failed else row.state,
            Text(f"{row.failure_kind}: {row.failure_message}" if failed else brief(_rest(row.result, own))),
        )
    return table


def _rest(result: object, own: Mapping[str, str]) -> object:
    """Of a result, what no column of its own says."""
    if not isinstance(result, dict):
        return result
    said = {*(("max_points", *TOTALS) if "points" in own else ()), *({"band"} & own.keys())}
    return {name: value for name, value in result.items() if name not in said}


def _result_cells(row: ResultRow) -> dict[str, str]:
    result = row.result if isinstance(row.result, dict) else {}
    found = {"name": display_name(row.metadata)}
    if not DEDUCTIONS & result.keys() and (points := headline(result)) is not None:
        most = result.get("max_points")
        found["points"] = f"{points:g} of {most:g}" if isinstance(most, int | float) else f"{points:g}"
    if isinstance(band := result.get("band"), str):
        found["band"] = band
    return {name: text for name, text in found.items() if text}


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
