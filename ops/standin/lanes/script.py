"""What can go wrong with files, batches and background responses on purpose, beside the marks in prompts.

KIND@COUNT holds for the next so many occasions, KIND=RATE for a share of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


class LaneFault(StrEnum):
    """The names used on the command line."""

    # of any call about a lane
    CALL_HANG = "call_hang"
    CALL_UNAVAILABLE = "call_unavailable"
    # the server did what it was asked, and the answer never arrived
    UPLOAD_LOST = "upload_lost"
    CREATE_LOST = "create_lost"
    RESPONSE_LOST = "response_lost"
    CANCEL_LOST = "cancel_lost"
    FILE_UNKNOWN = "file_unknown"
    """A batch is made of a file that the server does not know yet."""
    DOWNLOAD_CUT = "download_cut"
    # of a whole batch
    QUEUE_FULL = "queue_full"
    BATCH_FAILED = "batch_failed"
    BATCH_EXPIRED = "batch_expired"
    """Half of its lines are answered within the window."""
    # of one line
    LINE_ERROR = "line_error"
    LINE_EXPIRED = "line_expired"
    LINE_MISSING = "line_missing"
    """It is in neither file, and is not billed."""


@dataclass(frozen=True, slots=True)
class LaneFaultRule:
    """One line of the script: either a rate, or the next `count` occasions."""

    fault: LaneFault
    rate: float = 0.0
    count: int = 0

    def __str__(self) -> str:
        return f"{self.fault}@{self.count}" if self.count else f"{self.fault}={self.rate:g}"


_RULE = re.compile(r"(?P<fault>[a-z_]+)(?:=(?P<rate>[01](?:\.[0-9]+)?)|@(?P<count>[1-9][0-9]*))")


def parse_lane_fault(text: str) -> LaneFaultRule:
    """A rule from KIND=RATE or KIND@COUNT; ValueError says what is wrong with the text."""
    match = _RULE.fullmatch(text)
    if match is None or float(match["rate"] or 0) > 1:
        raise ValueError(f"a lane's fault is KIND=RATE with a rate up to 1, or KIND@COUNT, not {text!r}")
    if match["fault"] not in set(LaneFault):
        raise ValueError(f"no lane's fault {match['fault']!r}; there are {', '.join(LaneFault)}")
    return LaneFaultRule(LaneFault(match["fault"]), rate=float(match["rate"] or 0), count=int(match["count"] or 0))


class LaneScript:
    """Says on each occasion whether a fault happens; one seeded generator."""

    def __init__(self, rules: tuple[LaneFaultRule, ...], *, random: Random) -> None:
        self._rates = {rule.fault: rule.rate for rule in rules if not rule.count}
        self._counts = {rule.fault: rule.count for rule in rules if rule.count}
        self._random = random

    def happens(self, fault: LaneFault) -> bool:
        """Whether it happens now; a counted one is used up by that."""
        if self._counts.get(fault):
            self._counts[fault] -= 1
            return True
        rate = self._rates.get(fault, 0.0)
        return rate > 0 and self._random.random() < rate
