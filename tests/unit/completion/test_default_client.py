"""The one client that the public function makes, keeps and closes."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, patch

import pytest

from tests.support.openai_calls import (
    MODULE,
)
from workers.completion import openai_client
from workers.completion.openai_client import close_client, get_client


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No client, no key, and no settings file of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GRADEQUEUE_HTTP_TRANSPORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(openai_client, "_client", None)


@pytest.mark.usefixtures("fresh")
async def test_one_client_is_made_and_kept():
    with patch(f"{MODULE}.OPENAI_API_KEY", "test-key"), patch(f"{MODULE}.AsyncOpenAI") as make:
        clients = [await get_client() for _ in range(3)]

    assert clients == [make.return_value] * 3
    assert make.call_count == 1
    assert make.call_args.kwargs["api_key"] == "test-key"
    assert make.call_args.kwargs["max_retries"] == 0


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("key", [None, "", "  "])
async def test_without_a_key_there_is_no_client(key: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "in the environment all the same")

    with (
        patch(f"{MODULE}.OPENAI_API_KEY", key),
        pytest.raises(ValueError, match="OPENAI_API_KEY environment variable is not set"),
    ):
        await get_client()


@pytest.mark.usefixtures("fresh")
async def test_the_key_is_looked_up_when_it_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    with pytest.raises(ValueError, match="OPENAI_API_KEY environment variable is not set"):
        await get_client()

    for folder, expected in ((".streamlit", "from-secrets"), (".env", "from-dotenv"), ("", "from-environment")):
        if folder == ".streamlit":
            (tmp_path / folder).mkdir()
            (tmp_path / ".streamlit/secrets.toml").write_text('OPENAI_API_KEY = "from-secrets"\n')
        elif folder == ".env":
            (tmp_path / folder).write_text("OPENAI_API_KEY=from-dotenv\n")
        else:
            monkeypatch.setenv("OPENAI_API_KEY", "from-environment")

        assert (await get_client()).api_key == expected
        await close_client()


@pytest.mark.usefixtures("fresh")
async def test_closing_makes_room_for_a_new_client():
    one, other = AsyncMock(), AsyncMock()
    with (
        patch(f"{MODULE}.OPENAI_API_KEY", "test-key"),
        patch(f"{MODULE}.AsyncOpenAI", side_effect=[one, other]),
    ):
        assert await get_client() is one
        await close_client()
        one.close.assert_awaited_once()
        assert openai_client._client is None
        assert await get_client() is other


@pytest.mark.usefixtures("fresh")
async def test_closing_what_is_not_open_does_no_harm():
    await close_client()
    await close_client()


@pytest.mark.usefixtures("fresh")
async def test_a_client_put_in_place_by_hand_is_used_and_closed(monkeypatch: pytest.MonkeyPatch):
    own = AsyncMock()
    monkeypatch.setattr(openai_client, "_client", own)

    assert await get_client() is own
    await close_client()

    own.close.assert_awaited_once()
    assert openai_client._client is None
