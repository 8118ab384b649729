"""Waiting for a condition with a deadline; a wait in vain is a failure with a name."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_SECONDS = 240.0
"""What tests wait for takes a quarter of it where five others run beside each."""
FIRST_POLL_SECONDS = 0.01
LONGEST_POLL_SECONDS = 0.1
"""Between two looks; each of them is work for a machine that is busy with what is waited for."""


def wait_until(
    condition: Callable[[], object], what: str | Callable[[], str], seconds: float = DEADLINE_SECONDS
) -> Any:
    """Poll until the condition holds and return its value; `what` may be a function that adds what is known then."""
    deadline, pause = time.monotonic() + seconds, FIRST_POLL_SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(pause)
        pause = min(1.3 * pause, LONGEST_POLL_SECONDS)
    pytest.fail(f"waited {seconds:.0f} s in vain until {what() if callable(what) else what}")


async def until(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """The same beside coroutines on this loop: for what signals nobody, such as a server's counts or a store's rows."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)
