"""What the stand-in counts, for tests and benchmarks that ask what the provider really saw.

Prompts appear as SHA-256, keys as a short hash. Seconds count from the start or the last reset, on the server's clock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class PromptCalls:
    """The calls of one prompt: every one that was well formed, those admitted, those answered in full with 200."""

    calls: int = 0
    past_limits: int = 0
    """Calls that the limits let pass, also when a scripted fault then refused them; markers and scatter count these."""
    admitted: int = 0
    answered: int = 0


@dataclass(slots=True)
class _Admitted:
    requests: int = 0
    tokens: int = 0
    by_second: dict[int, list[int]] = field(default_factory=dict)
    first_at: float = 0.0
    last_at: float = 0.0


class Tally:
    """Counters since `started_at`; each method is called once when its sentence becomes true."""

    def __init__(self, *, started_at: float) -> None:
        self.started_at = started_at
        self.in_flight = 0
        self.most_in_flight = 0
        self.received = 0
        self.answered = 0
        self.generated_tokens = 0
        self.slot_seconds = 0.0
        self.disconnected = 0
        self._lanes: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._faulted: Counter[str] = Counter()
        self._answered_by_second: Counter[int] = Counter()
        self._refused_by_second: Counter[int] = Counter()
        self._admitted: defaultdict[tuple[str, str], _Admitted] = defaultdict(_Admitted)
        self._prompts: defaultdict[str, PromptCalls] = defaultdict(PromptCalls)

    def call_began(self) -> None:
        """A request for a completion arrived, whatever becomes of it."""
        self.received += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def call_ended(self) -> None:
        """The request of `call_began` has its ending."""
        self.in_flight -= 1

    def prompt_called(self, prompt_key: str, *, is_new: bool = True) -> PromptCalls:
        """A well-formed call of this prompt; its record, with this call counted unless it was before."""
        record = self._prompts[prompt_key]
        record.calls += is_new
        return record

    def lane_answered(self, lane: str) -> None:
        """A request in one of the slow lanes was answered and billed; none of them is among the calls `answered`."""
        self._lanes[lane] += 1

    def call_admitted(self, account: str, *, model: str, cost_tokens: int, now: float) -> None:
        """The limits let a call in and charged it."""
        admitted = self._admitted[account, model]
        admitted.last_at = now - self.started_at
        if not admitted.requests:
            admitted.first_at = admitted.last_at
        admitted.requests += 1
        admitted.tokens += cost_tokens
        second = admitted.by_second.setdefault(self._second(now), [0, 0])
        second[0] += 1
        second[1] += cost_tokens

    def call_refused(self, reason: str, *, now: float) -> None:
        """An error was sent instead of an answer; the reason is its code, or its status where it has none."""
        self._refused[reason] += 1
        self._refused_by_second[self._second(now)] += 1

    def call_faulted(self, fault: str) -> None:
        """A scripted fault was chosen for a call."""
        self._faulted[fault] += 1

    def call_answered(self, record: PromptCalls, *, now: float) -> None:
        """A completion was written in full, odd or not: this is what a provider bills."""
        self.answered += 1
        record.answered += 1
        self._answered_by_second[self._second(now)] += 1

    def tokens_generated(self, tokens: int) -> None:
        """An answer was made, whether anybody still waits for it or not."""
        self.generated_tokens += tokens

    def slot_was_busy(self, seconds: float) -> None:
        """One of a few slots has worked on a call, by the clock of this machine, however busy it is."""
        self.slot_seconds += seconds

    def client_left(self) -> None:
        """The client closed its connection before it had an answer."""
        self.disconnected += 1

    def snapshot(self, *, now: float, prompts: bool) -> dict[str, Any]:
        """All counters as JSON; the list of prompts only on demand, since it grows with every prompt."""
        calls = Counter(record.calls for record in self._prompts.values())
        return {
            "uptime_seconds": now - self.started_at,
            "received": self.received,
            "admitted": sum(admitted.requests for admitted in self._admitted.values()),
            "answered": self.answered,
            "answered_later": dict(self._lanes),
            "generated_tokens": self.generated_tokens,
            "slot_seconds": self.slot_seconds,
            "refused": dict(self._refused),
            "refused_total": self._refused.total(),
            "faulted": dict(self._faulted),
            "faulted_total": self._faulted.total(),
            "disconnected": self.disconnected,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "answered_by_second": _with_text_keys(self._answered_by_second),
            "refused_by_second": _with_text_keys(self._refused_by_second),
            "accounts": [_admitted_json(key, admitted) for key, admitted in self._admitted.items()],
            "distinct_prompts": len(self._prompts),
            "prompts_by_calls": _with_text_keys(calls),
        } | ({"prompts": {key: _prompt_json(record) for key, record in self._prompts.items()}} if prompts else {})

    def _second(self, now: float) -> int:
        return int(now - self.started_at)


def _admitted_json(key: tuple[str, str], admitted: _Admitted) -> dict[str, Any]:
    account, model = key
    return {
        "account": account,
        "model": model,
        "requests": admitted.requests,
        "tokens": admitted.tokens,
        "first_admitted_seconds": admitted.first_at,
        "last_admitted_seconds": admitted.last_at,
        "by_second": {str(second): {"requests": n, "tokens": t} for second, (n, t) in admitted.by_second.items()},
    }


def _with_text_keys(counts: Mapping[int, int]) -> dict[str, int]:
    # As JSON has them, so that a caller in the same process sees what one over HTTP sees.
    return {str(key): count for key, count in sorted(counts.items())}


def _prompt_json(record: PromptCalls) -> dict[str, int]:
    return {"calls": record.calls, "admitted": record.admitted, "answered": record.answered}
