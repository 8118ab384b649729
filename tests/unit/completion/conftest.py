"""Mocked calls of the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import AsyncMock, patch

import pytest

from tests.support.openai_calls import (
    MODULE,
    Calls,
    answer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def calls() -> Iterator[Calls]:
    client = AsyncMock()
    client.chat.completions.create = AsyncMock(return_value=answer())
    with (
        patch(f"{MODULE}.get_client", return_value=client),
        patch("asyncio.sleep", new_callable=AsyncMock) as sleep,
    ):
        yield Calls(client.chat.completions.create, sleep)
