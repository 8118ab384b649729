"""Instructions that many jobs share: kept once among the contexts, by their hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTRUCTIONS_KEY = "instructions"
"""Under which a context holds them."""


def instructions_in(content: Mapping[str, object] | None) -> str | None:
    """The instructions that such a context holds; None without one."""
    return None if content is None else str(content[INSTRUCTIONS_KEY])
