"""Kinds of failure and flags by their names, as a caller gives them."""

from __future__ import annotations

from workers.contract.errors import InvalidInput
from workers.contract.flag import FlagKind
from workers.contract.outcome import FailureKind


def failure_kind(kind: FailureKind | str) -> FailureKind:
    """Raises `InvalidInput` that names the kinds there are."""
    try:
        return FailureKind(kind)
    except ValueError:
        raise InvalidInput(f"there is no failure kind {kind!r}; known are {', '.join(FailureKind)}") from None


def flag_kind(kind: FlagKind | str) -> FlagKind:
    """Raises `InvalidInput` that names the flags there are."""
    try:
        return FlagKind(kind)
    except ValueError:
        raise InvalidInput(f"there is no flag {kind!r}; known are {', '.join(FlagKind)}") from None
