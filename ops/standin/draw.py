"""The randomness of one answer: what is drawn depends on prompt and seed alone, unless answers scatter.

Structure (how many items, which alternative) always comes from the prompt, so that scattered answers of one prompt stay
comparable field by field.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

_T = TypeVar("_T")
# Enough for any grading schema; beyond it a recursive schema is answered with its smallest values.
_PARTS = 300


class Draw:
    """One answer's draws. Deterministic for the same seeds and the same order of calls."""

    def __init__(
        self,
        seed: bytes,
        *,
        scatter_seed: bytes = b"",
        scatter: float = 0.0,
        source: str = "",
        fabricate: float = 0.0,
        doubt: float = 0.0,
    ) -> None:
        """`source` is what may be quoted; `fabricate` and `doubt` are shares of quotations and of judgements."""
        self._base = Random(seed)  # noqa: S311 - made-up grades, not secrets
        self._noise = Random(scatter_seed) if scatter > 0 else None  # noqa: S311
        self._scatter = scatter
        self._parts_left = _PARTS
        self.source = source
        self.fabricate = fabricate
        self.doubt = doubt

    def has_room(self) -> bool:
        """Whether the answer may still grow; counts the parts that ask."""
        self._parts_left -= 1
        return self._parts_left >= 0

    def index(self, size: int) -> int:
        """A whole number below size, for structure: it does not scatter."""
        return int(self._base.random() * size)

    def choice(self, options: Sequence[_T]) -> _T:
        """One of the options, for structure: it does not scatter."""
        return options[self.index(len(options))]

    def happens(self, share: float) -> bool:
        """Whether something happens that happens in this share of cases."""
        return share > 0 and self._base.random() < share

    def graded_choice(self, options: Sequence[_T]) -> _T:
        """One of the options, as a judgement: it scatters from call to call."""
        chosen = self.index(len(options))
        if self._noise is not None and self._noise.random() < self._scatter:
            chosen = int(self._noise.random() * len(options))
        return options[chosen]

    def graded_share(self) -> float:
        """A number from 0 to below 1, as a judgement: it scatters around the prompt's own number."""
        share = self._base.random()
        if self._noise is None:
            return share
        moved = share + self._scatter * (self._noise.random() - 0.5)
        return min(max(moved, 0.0), 1.0 - 2**-53)
