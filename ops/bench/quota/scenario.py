"""One setting of the benchmark: the provider's limits, what happens to them, and how much work there is."""

from __future__ import annotations

from dataclasses import dataclass

MODEL = "gpt-4o"


@dataclass(frozen=True, slots=True)
class Move:
    """The provider changes, so many seconds after the drain began."""

    at_seconds: float
    rpm: int | None = None
    tpm: int | None = None
    foreign_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What the contenders meet."""

    jobs: int = 1500
    rpm: int | None = 3000
    tpm: int | None = None
    slice_seconds: float = 1.0
    latency_ms: str = "500-1500"
    charge_refused: bool = True
    processes: int = 2
    in_flight: int = 200
    """Per process."""
    max_tokens: int = 1000
    streaming: str = "served"
    limit_headers: bool = True
    is_known: bool = False
    """Our side is told the limits in advance."""
    moves: tuple[Move, ...] = ()

    @property
    def unit(self) -> str:
        """Which limit binds."""
        return "requests" if self.tpm is None else "tokens"

    def available(self, second: float) -> float:
        """A minute's limit at this time, less what others take."""
        limit, foreign = float(self.tpm or self.rpm or 0), 0.0
        for move in self.moves:
            if move.at_seconds <= second:
                limit = float((move.tpm if self.tpm else move.rpm) or limit)
                foreign = foreign if move.foreign_share is None else move.foreign_share
        return limit * (1 - foreign)

    def standin_options(self) -> list[str]:
        """The stand-in's command line."""
        options = ["--latency-ms", self.latency_ms, "--slice-seconds", str(self.slice_seconds)]
        options += ["--charge-refused" if self.charge_refused else "--no-charge-refused"]
        options += ["--streaming", self.streaming, *([] if self.limit_headers else ["--no-limit-headers"])]
        for name, limit in (("--rpm", self.rpm), ("--tpm", self.tpm)):
            options += [name, str(limit)] if limit else []
        return options
