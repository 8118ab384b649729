"""One spend cap inside a transaction: what is held against it, and what this transaction changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(slots=True)
class SpendCap:
    """A cap in US dollars, of a batch or of a day."""

    max_usd: float
    held_usd: float
    change_usd: float = 0.0
    opened: bool = False
    """This transaction lets a request in, which will end."""

    @classmethod
    def together(cls, caps: Collection[SpendCap], *, max_usd: float) -> SpendCap:
        """One cap over what is held against several; nothing can be taken from it."""
        return cls(
            max_usd,
            sum(each.held_usd for each in caps),
            change_usd=sum(each.change_usd for each in caps),
            opened=any(each.opened for each in caps),
        )

    def has_room(self, usd: float) -> bool:
        """Whether a request that may cost so much still fits."""
        return self.held_usd + self.change_usd + usd <= self.max_usd

    def take(self, usd: float) -> None:
        """Hold so much more, or give so much back."""
        self.change_usd += usd
        self.opened = self.opened or usd > 0

    def spent(self, next_usd: float) -> str:
        """Why the next request is refused, for people."""
        held_usd = self.held_usd + self.change_usd
        return (
            f"its cap of ${self.max_usd:,.4f} is reached: ${held_usd:,.4f} is spent, calls without a known end at "
            f"their highest, and one more call may cost ${next_usd:,.4f}"
        )
