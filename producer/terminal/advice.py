"""What to type after a failure: the `retry` of each kind with the option that its advice names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.terminal.words import command
from workers.contract.flag import failure_advice, is_unfounded
from workers.contract.outcome import FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workers.store.results import ResultRow

LEAST_TOKENS = 8192
"""Twice the limit that holds when none is given."""
_OPTIONS: Mapping[FailureKind, tuple[str, ...]] = {
    FailureKind.INVALID_OUTPUT: ("--allow-repair",),
    FailureKind.CONTEXT_TOO_LONG: ("--model", "LARGER_MODEL"),
    FailureKind.REJECTED_REQUEST: ("--model", "ANOTHER_MODEL"),
    FailureKind.DEADLINE_EXCEEDED: ("--deadline", "1d"),
}
"""Names in capitals are for the reader to replace."""

_BY_HAND = frozenset({FailureKind.REFUSED, FailureKind.CONTENT_FILTERED})
"""Of whose next request little is to be hoped."""


def next_steps(batch: str, failures: Iterable[ResultRow]) -> list[str]:
    """A line per kind among these failures, in their order: a command, or why there is none."""
    rows: dict[FailureKind, list[ResultRow]] = {}
    for row in failures:
        if row.failure_kind is not None:
            rows.setdefault(row.failure_kind, []).append(row)
    return [
        f"{kind} ({len(found)}): {_advice(kind, found)}\n    {_step(batch, kind, found)}"
        for kind, found in rows.items()
    ]


def enough_tokens(truncated: Iterable[ResultRow]) -> int:
    """A limit of answers that is at least twice the longest that was cut off, a power of two."""
    longest = max((row.usage.completion_tokens // max(1, row.attempts) for row in truncated), default=0)
    limit = LEAST_TOKENS
    while limit < 2 * longest:
        limit *= 2
    return limit


def _advice(kind: FailureKind, rows: Iterable[ResultRow]) -> str:
    return " ".join(dict.fromkeys(failure_advice(kind, row.flags) for row in rows))


def _step(batch: str, kind: FailureKind, rows: list[ResultRow]) -> str:
    by_hand = command("override", batch, "ID", options=["--points", "NUMBER", "--reason", "TEXT"])
    if kind is FailureKind.NOT_GRADED:
        again = "run the same command with the readable files and --update; nobody else is graded or paid for again"
        return f"{again}\n    by hand: {by_hand}"
    options = _OPTIONS.get(kind, ())
    unfounded = sum(is_unfounded(kind, row.flags) for row in rows)
    if unfounded:
        options = ("--evidence", "flag", *(options if unfounded < len(rows) else ()))
    if kind is FailureKind.TRUNCATED:
        options = ("--max-tokens", str(enough_tokens(rows)))
    again = f"again: {command('retry', batch, options=['--kind', str(kind), *options])}"
    return f"{again}\n    by hand: {by_hand}" if kind in _BY_HAND else again
