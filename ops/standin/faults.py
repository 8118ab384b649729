"""Scripted faults: which ones there are, how they are asked for, and which one a call meets.

Three ways to ask, tried in this order: a marker in the prompt, a count ("the first N calls"), a rate. The script knows
nothing of HTTP; the server acts a fault out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ops.standin import errors

if TYPE_CHECKING:
    from random import Random


class Fault(StrEnum):
    """What can go wrong on purpose. The names are the ones used on the command line and in markers."""

    # refusals: answered at once, before anything is charged as admitted
    RATE_LIMIT = "rate_limit"
    SLOW_DOWN = "slow_down"
    TOO_LARGE = "too_large"
    INSUFFICIENT_QUOTA = "insufficient_quota"
    BILLING_HARD_LIMIT_REACHED = "billing_hard_limit_reached"
    CREDIT_BALANCE_EXHAUSTED = "credit_balance_exhausted"
    ORGANIZATION_SPEND_LIMIT_EXCEEDED = "organization_spend_limit_exceeded"
    PROJECT_SPEND_LIMIT_EXCEEDED = "project_spend_limit_exceeded"
    ORGANIZATION_USAGE_LIMIT_EXCEEDED = "organization_usage_limit_exceeded"
    BILLING_NOT_ACTIVE = "billing_not_active"
    EXCEEDED_CURRENT_QUOTA_ERROR = "exceeded_current_quota_error"
    BAD_KEY = "bad_key"
    CONTEXT_OVERFLOW = "context_overflow"
    REJECTED = "rejected"
    # refusals as other providers and gateways write them: bodies and sources in foreign_refusals
    KEY_INVALID_400 = "key_invalid_400"
    KEY_INVALID_WORDS = "key_invalid_words"
    OVERDUE_400 = "overdue_400"
    CREDIT_WORDS_400 = "credit_words_400"
    FORBIDDEN_HTML = "forbidden_html"
    UNLISTED_400 = "unlisted_400"
    """Refused for a reason that no list of codes or words holds."""
    WAIT_IN_DETAILS = "wait_in_details"
    WAIT_IN_WORDS = "wait_in_words"
    WAIT_EPOCH = "wait_epoch"
    WAIT_DAY = "wait_day"
    WAIT_CONTRADICTED = "wait_contradicted"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    CONFLICT = "conflict"
    GATEWAY_BUDGET = "gateway_budget"
    GATEWAY_BILLING = "gateway_billing"
    GATEWAY_POLICY = "gateway_policy"
    GATEWAY_COOLDOWN = "gateway_cooldown"
    GATEWAY_RATE_LIMIT = "gateway_rate_limit"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    CONTEXT_SIZE = "context_size"
    REDIRECT = "redirect"
    # failures: admitted and charged, then broken
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    HANG = "hang"
    RESET_BEFORE = "reset_before"
    RESET_BODY = "reset_body"
    HTML = "html"
    BROKEN_JSON = "broken_json"
    ERROR_200 = "error_200"
    PACKED_FLOOD = "packed_flood"
    ENDLESS = "endless"
    # odd answers: well-formed HTTP, not the answer that was asked for
    NO_CHOICES = "no_choices"
    NULL_CONTENT = "null_content"
    INVALID_OUTPUT = "invalid_output"
    NOT_JSON = "not_json"
    REFUSAL = "refusal"
    TRUNCATED = "truncated"
    CONTENT_FILTER = "content_filter"
    FENCED = "fenced"
    FENCED_CUT = "fenced_cut"
    LENGTH_WHOLE = "length_whole"
    CONTEXT_FULL = "context_full"
    ODD_METADATA = "odd_metadata"


BILLING_FAULTS = frozenset(
    {
        Fault.INSUFFICIENT_QUOTA,
        Fault.BILLING_HARD_LIMIT_REACHED,
        Fault.CREDIT_BALANCE_EXHAUSTED,
        Fault.ORGANIZATION_SPEND_LIMIT_EXCEEDED,
        Fault.PROJECT_SPEND_LIMIT_EXCEEDED,
        Fault.ORGANIZATION_USAGE_LIMIT_EXCEEDED,
        Fault.BILLING_NOT_ACTIVE,
        Fault.EXCEEDED_CURRENT_QUOTA_ERROR,
    },
)
FOREIGN_REFUSALS = frozenset(
    {
        Fault.KEY_INVALID_400,
        Fault.KEY_INVALID_WORDS,
        Fault.OVERDUE_400,
        Fault.CREDIT_WORDS_400,
        Fault.FORBIDDEN_HTML,
        Fault.UNLISTED_400,
        Fault.WAIT_IN_DETAILS,
        Fault.WAIT_IN_WORDS,
        Fault.WAIT_EPOCH,
        Fault.WAIT_DAY,
        Fault.WAIT_CONTRADICTED,
        Fault.UPSTREAM_TIMEOUT,
        Fault.CONFLICT,
        Fault.GATEWAY_BUDGET,
        Fault.GATEWAY_BILLING,
        Fault.GATEWAY_POLICY,
        Fault.GATEWAY_COOLDOWN,
        Fault.GATEWAY_RATE_LIMIT,
        Fault.UNSUPPORTED_PARAMETER,
        Fault.CONTEXT_SIZE,
        Fault.REDIRECT,
    },
)
FLOODS = frozenset({Fault.PACKED_FLOOD, Fault.ENDLESS})
REFUSALS = (
    BILLING_FAULTS
    | FOREIGN_REFUSALS
    | {
        Fault.RATE_LIMIT,
        Fault.SLOW_DOWN,
        Fault.TOO_LARGE,
        Fault.BAD_KEY,
        Fault.CONTEXT_OVERFLOW,
        Fault.REJECTED,
    }
)


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One line of the script: either a rate (0 to 1, of all calls) or the first `count` calls."""

    fault: Fault
    rate: float = 0.0
    count: int = 0

    def __str__(self) -> str:
        return f"{self.fault}@{self.count}" if self.count else f"{self.fault}={self.rate:g}"


_RULE = re.compile(r"(?P<fault>[a-z_0-9]+)(?:=(?P<rate>[0-9.]+)|@(?P<count>[0-9]+))")
_MARKER_START = "[[standin:"
_MARKER = re.compile(r"\[\[standin:(?P<fault>[a-z_0-9]+)(?:\*(?P<count>[0-9]+))?\]\]")


def parse_fault_rule(text: str) -> FaultRule:
    """A rule from KIND=RATE or KIND@COUNT; ValueError says what is wrong with the text."""
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(f"a fault is KIND=RATE or KIND@COUNT, not {text!r}")
    try:
        fault = Fault(match["fault"])
    except ValueError:
        raise ValueError(f"no fault {match['fault']!r}; there are {', '.join(Fault)}") from None
    if match["count"]:
        return FaultRule(fault, count=int(match["count"]))
    rate = float(match["rate"])
    if rate > 1:
        raise ValueError(f"a rate lies between 0 and 1, not {text!r}")
    return FaultRule(fault, rate=rate)


class FaultScript:
    """Decides which fault a call meets. Rates are drawn from one seeded generator, one draw a call."""

    def __init__(self, rules: tuple[FaultRule, ...], *, random: Random) -> None:
        self._rates = [(rule.fault, rule.rate) for rule in rules if not rule.count]
        self._counts = {rule.fault: rule.count for rule in rules if rule.count}
        self._random = random

    def next_fault(self, prompt: str, *, call_number: int) -> Fault | None:
        """The fault for this call, or None; `call_number` counts the calls of this prompt from 1."""
        marked = marked_fault(prompt, call_number=call_number)
        if marked is not None:
            return marked
        return self._counted() or self._drawn()

    def not_shown(self, fault: Fault | None, prompt: str, *, call_number: int) -> None:
        """The client left before it met the fault: a counted one waits for the next call."""
        if fault in self._counts and marked_fault(prompt, call_number=call_number) is None:
            self._counts[fault] += 1

    def _counted(self) -> Fault | None:
        for fault, left in self._counts.items():
            if left:
                self._counts[fault] = left - 1
                return fault
        return None

    def _drawn(self) -> Fault | None:
        if not self._rates:
            return None
        point = self._random.random()
        for fault, rate in self._rates:
            if point < rate:
                return fault
            point -= rate
        return None


def marked_fault(prompt: str, *, call_number: int) -> Fault | None:
    """The fault that the prompt's own markers ask for at its n-th call.

    `[[standin:KIND]]` holds for every call, `[[standin:KIND*2]]` for two; several markers follow one another.
    """
    if _MARKER_START not in prompt:
        return None
    calls_before = 0
    for match in _MARKER.finditer(prompt):
        fault = _marked(match["fault"])
        if match["count"] is None:
            return fault
        calls_before += int(match["count"])
        if call_number <= calls_before:
            return fault
    return None


def _marked(name: str) -> Fault:
    try:
        return Fault(name)
    except ValueError:
        raise errors.bad_request(f"The stand-in has no fault '{name}'.", code="standin_unknown_fault") from None
