"""How a stand-in behaves: one frozen record, and the one place that reads its fields from outside.

The command line and the control API both change a Config through `changed`, so they accept the same values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from ops.standin.faults import FaultRule, parse_fault_rule
from ops.standin.lanes.delays import Delay, parse_delay, read_delays
from ops.standin.lanes.script import LaneFaultRule, parse_lane_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LANES = ("batch", "background")
_SCRIPTS = ("faults", "lane_faults", "batch_seconds", "window_2h_seconds", "window_8h_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set at start and changed while the stand-in runs."""

    seed: int = 0
    scatter: float = 0.0
    """0 to 1: how far numbers and choices move from call to call of the same prompt."""
    fabricate: float = 0.0
    """0 to 1: the share of quotations that are made up; the others are lines of the prompt."""
    doubt: float = 0.0
    """0 to 1: the share of judgements that it says it cannot make, where the schema lets it."""
    ignore_marks: bool = False
    """Whether prompts that differ in the mark of their fence alone are answered alike."""
    latency_ms: tuple[float, float] = (0.0, 0.0)
    answers: bool = True
    """Where false, every call waits, however short its latency, until it is true again: a moment that tests choose."""
    slots: int | None = None
    """Calls worked on at once; the others wait without a word, as at a small local server. None is no bound."""
    rpm: int | None = None
    """Requests a minute per (account, model); None is no limit."""
    tpm: int | None = None
    """Tokens a minute per (account, model), charged at admission; None is no limit."""
    slice_seconds: float = 60.0
    """The limit holds over slices of this length: a bucket takes limit * slice / 60."""
    cost_rule: Literal["max", "sum"] = "max"
    """max(max_tokens, prompt estimate) as OpenAI charges, or their sum as others do."""
    charge_refused: bool = True
    """Whether a call refused with 429 counts as a request, as OpenAI says it does."""
    foreign_share: float = 0.0
    """0 to 1: the part of the limit that other clients of the account consume all the time."""
    retry_after: bool = True
    retry_after_ms: bool = False
    streaming: Literal["served", "refused", "ignored"] = "served"
    """What becomes of a call that asks for a stream; ignored means that the whole body answers it."""
    limit_headers: bool = True
    """Whether responses name the limits in x-ratelimit-* headers."""
    any_model: bool = False
    project_tier: Literal["default", "flex", "priority"] = "default"
    """The service tier of calls that ask for none, as a project's settings choose it."""
    bill_abandoned: bool = False
    """Whether a call is billed whose client left before the answer."""
    faults: tuple[FaultRule, ...] = ()
    marks: bool = True
    """Whether the faults that marks in prompts ask for are acted out; false: a provider that is well."""
    lanes: tuple[str, ...] = LANES
    """Which of `LANES` are served beside live calls; the paths of the others do not exist."""
    batch_seconds: tuple[Delay, ...] = (parse_delay("2-6"),)
    """What each batch takes, one after another; the last entry repeats."""
    batch_window_seconds: float = 86_400.0
    """What is not answered by then expires."""
    batch_queue_tokens: int | None = None
    """Input tokens per (account, model) that unfinished batches may hold; None is no limit."""
    window_2h_seconds: tuple[Delay, ...] = (parse_delay("1-4"),)
    window_8h_seconds: tuple[Delay, ...] = (parse_delay("1-4"),)
    """What each background response takes; those that are wanted soonest take the 2 h window's time."""
    cancel_seconds: float = 0.0
    """How long a batch is cancelling; OpenAI says up to ten minutes."""
    lane_faults: tuple[LaneFaultRule, ...] = ()

    def changed(self, changes: Mapping[str, object]) -> Config:
        """This configuration with some fields set anew; ValueError names the field and what it takes."""
        unknown = changes.keys() - _READERS.keys()
        if unknown:
            raise ValueError(f"no setting {sorted(unknown)}; there are {sorted(_READERS)}")
        read: dict[str, object] = {}
        for name, value in changes.items():
            try:
                read[name] = _READERS[name](value)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from None
        return replace(self, **read)  # type: ignore[arg-type]  # each reader returns its field's type

    def as_json(self) -> dict[str, object]:
        """The fields in a form that `changed` reads back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {name: [str(each) for each in values[name]] for name in _SCRIPTS}


def read_latency_ms(value: object) -> tuple[float, float]:
    """A range in milliseconds from 5, "5", "200-500" or [200, 500]."""
    parts: Any = value.split("-") if isinstance(value, str) else value
    parts = parts if isinstance(parts, list | tuple) else [parts]
    match [float(part) for part in parts]:
        case [fixed] if 0 <= fixed < math.inf:
            return fixed, fixed
        case [low, high] if 0 <= low <= high < math.inf:
            return low, high
    raise ValueError(f"a latency is A or A-B milliseconds with A <= B, not {value!r}")


def _read_limit(value: object) -> int | None:
    if value is None or value == 0:
        return None
    return _read_whole(value, least=1)


def _read_seed(value: object) -> int:
    return _read_whole(value, least=0)


def _read_whole(value: object, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"expected a whole number from {least}, not {value!r}")
    return value


def _read_share(value: object) -> float:
    number = _read_number(value)
    if not 0 <= number <= 1:
        raise ValueError(f"expected a number between 0 and 1, not {value!r}")
    return number


def _read_positive(value: object) -> float:
    number = _read_number(value)
    if not number > 0:
        raise ValueError(f"expected a number above 0, not {value!r}")
    return number


def _read_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, not {value!r}")
    return float(value)


def _read_switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, not {value!r}")
    return value


def _read_charge(value: object) -> str:
    if value not in ("max", "sum"):
        raise ValueError(f"expected 'max' or 'sum', not {value!r}")
    return str(value)


def _read_streaming(value: object) -> str:
    if value not in ("served", "refused", "ignored"):
        raise ValueError(f"expected 'served', 'refused' or 'ignored', not {value!r}")
    return str(value)


def _read_tier(value: object) -> str:
    if value not in ("default", "flex", "priority"):
        raise ValueError(f"expected 'default', 'flex' or 'priority', not {value!r}")
    return str(value)


def _read_faults(value: object) -> tuple[FaultRule, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list of KIND=RATE or KIND@COUNT, not {value!r}")
    return tuple(rule if isinstance(rule, FaultRule) else parse_fault_rule(str(rule)) for rule in value)


def _read_lane_faults(value: object) -> tuple[LaneFaultRule, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list of KIND=RATE or KIND@COUNT, not {value!r}")
    return tuple(rule if isinstance(rule, LaneFaultRule) else parse_lane_fault(str(rule)) for rule in value)


def read_lanes(value: object) -> tuple[str, ...]:
    """Some of `LANES`, from a list or from words between commas; "none" is none of them."""
    parts: Any = value.split(",") if isinstance(value, str) else value
    names = [part for part in parts if part != "none"] if isinstance(parts, list | tuple) else [value]
    if not set(names) <= set(LANES):
        raise ValueError(f"lanes are {', '.join(LANES)} or none, not {value!r}")
    return tuple(lane for lane in LANES if lane in names)


def _read_duration(value: object) -> float:
    number = _read_number(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"expected seconds from 0, not {value!r}")
    return number


_READERS: Mapping[str, Callable[[object], object]] = {
    "seed": _read_seed,
    "scatter": _read_share,
    "fabricate": _read_share,
    "doubt": _read_share,
    "ignore_marks": _read_switch,
    "latency_ms": read_latency_ms,
    "answers": _read_switch,
    "slots": _read_limit,
    "rpm": _read_limit,
    "tpm": _read_limit,
    "slice_seconds": _read_positive,
    "cost_rule": _read_charge,
    "charge_refused": _read_switch,
    "foreign_share": _read_share,
    "retry_after": _read_switch,
    "retry_after_ms": _read_switch,
    "streaming": _read_streaming,
    "limit_headers": _read_switch,
    "any_model": _read_switch,
    "project_tier": _read_tier,
    "bill_abandoned": _read_switch,
    "faults": _read_faults,
    "marks": _read_switch,
    "lanes": read_lanes,
    "batch_seconds": read_delays,
    "batch_window_seconds": _read_positive,
    "batch_queue_tokens": _read_limit,
    "window_2h_seconds": read_delays,
    "window_8h_seconds": read_delays,
    "cancel_seconds": _read_duration,
    "lane_faults": _read_lane_faults,
}
