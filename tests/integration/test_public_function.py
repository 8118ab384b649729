"""The public function over a real socket, on both transports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, patch

import pytest

from ops.standin.faults import Fault
from tests.support.attempts import Review
from workers.completion import openai_client
from workers.completion.openai_client import close_client, get_structured_completion
from workers.completion.openai_exceptions import OpenAISchemaValidationError, OpenAITransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ops.standin.server import Standin
    from workers.completion.transport.clients import Transport


@pytest.fixture
async def public(standin: Standin, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncMock]:
    """The public functions, led to the stand-in by settings; yields the sleep in place of asyncio's."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", standin.base_url)
    monkeypatch.setenv("GRADEQUEUE_HTTP_TRANSPORT", transport)
    monkeypatch.setattr(openai_client, "_client", None)
    sleep = AsyncMock()
    with patch.object(openai_client, "asyncio", AsyncMock(sleep=sleep)):
        yield sleep
    await close_client()


async def complete(marker: str, **options: Any) -> Review:
    return await get_structured_completion(f"Grade this {marker}", "gpt-4o", Review, **options)


async def test_the_public_function_waits_as_the_server_asks_and_succeeds(public: AsyncMock):
    result = await complete("[[standin:rate_limit*1]][[standin:server_error*2]]", retry_delay=0.5)

    assert isinstance(result, Review)
    assert [call.args[0] for call in public.call_args_list] == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "fault", [Fault.HTML, Fault.BROKEN_JSON, Fault.ERROR_200, Fault.RESET_BODY, Fault.RESET_BEFORE]
)
async def test_a_broken_peer_is_not_tried_for_ever(public: AsyncMock, fault: Fault):
    with pytest.raises(OpenAITransportError, match="Failed after 3 attempts") as caught:
        await complete(f"[[standin:{fault}]]", max_retries=2)

    assert caught.value.kind == "provider_unavailable"
    assert public.call_count == 2


async def test_the_public_function_repairs_once(public: AsyncMock):
    assert isinstance(await complete("[[standin:invalid_output*1]]", allow_repair=True, max_retries=0), Review)

    with pytest.raises(OpenAISchemaValidationError) as caught:
        await complete("[[standin:invalid_output]]", allow_repair=True)
    assert caught.value.raw_output
    assert public.call_count == 0
