"""An object as a cache's key that is equal to itself alone.

Equal parameters may be written differently (0 and 0.0), and what is made of them is hashed.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Same(Generic[T]):
    """Keeps the object alive, so that no other one gets its number."""

    __slots__ = ("it",)

    def __init__(self, it: T) -> None:
        self.it = it

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.it is other.it
