"""Logging an error that nobody expected, without its text: that may quote a row, and a row holds student work."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger


def log_frames(logger: Logger, event: str, error: BaseException) -> None:
    """One record with the error's type and where it came from, and nothing that it says."""
    logger.error("%s error=%s\n%s", event, type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
