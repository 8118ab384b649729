"""A request with instructions: which message they stand in, and what the provider's cache is asked."""

from __future__ import annotations

import pytest

from workers.completion.attempt import CompletionRequest
from workers.completion.chat_body import messages_of
from workers.completion.prompt_cache import cache_key, cache_parameters
from workers.contract.model_profile import profile_of
from workers.contract.pictures import Picture
from workers.contract.schemas.feedback import Feedback
from workers.contract.schemes.fence import Fence
from workers.contract.schemes.layout import instructions_text

OPENAI, ELSEWHERE = None, "127.0.0.1"


def request(instructions: str | None) -> CompletionRequest:
    return CompletionRequest(prompt="work", instructions=instructions, model="m", schema_model=Feedback)


def test_a_prompt_without_instructions_is_one_user_message():
    assert messages_of(request(None), profile_of("gpt-6.1-terra")) == [{"role": "user", "content": "work"}]


def test_pictures_are_parts_of_the_user_message_in_order():
    fence = Fence.draw()
    instructions = instructions_text(words="be fair", fence=fence)
    line = Picture("image/jpeg", 8, 8, "QUJD").line(fence.mark)
    asked = CompletionRequest(prompt=f"a\n{line}\nb", instructions=instructions, model="m", schema_model=Feedback)
    (_instructions, user) = messages_of(asked, profile_of("gpt-4o"))
    assert user["content"] == [
        {"type": "text", "text": "a\n"},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QUJD", "detail": "high"}},
        {"type": "text", "text": "\nb"},
    ]


def test_openai_gets_a_developer_message_whose_end_is_marked_for_the_cache():
    first, second = messages_of(request("be fair"), profile_of("gpt-6.1-terra", OPENAI))

    mark = {"mode": "explicit"}
    assert first["role"] == "developer"
    assert first["content"] == [{"type": "text", "text": "be fair", "prompt_cache_breakpoint": mark}]
    assert second == {"role": "user", "content": "work"}


@pytest.mark.parametrize(
    ("model", "host", "role", "asked"),
    [
        ("gpt-6.1-terra", OPENAI, "developer", {"prompt_cache_key", "prompt_cache_options"}),
        ("gpt-5.4-mini", OPENAI, "developer", {"prompt_cache_key"}),
        ("gpt-4o", OPENAI, "system", {"prompt_cache_key"}),
        ("gpt-6.1-terra", ELSEWHERE, "system", set()),
        ("llama3", ELSEWHERE, "system", set()),
    ],
)
def test_a_server_gets_no_word_of_a_cache_that_it_is_not_known_to_take(
    model: str, host: str | None, role: str, asked: set[str]
):
    profile = profile_of(model, host)

    assert messages_of(request("be fair"), profile)[0]["role"] == role
    assert cache_parameters(profile, key="k", has_instructions=True).keys() == asked


def test_the_key_is_that_of_a_batch_and_its_instructions():
    assert cache_key(1, "a") == cache_key(1, "a")
    assert len({cache_key(1, "a"), cache_key(1, "b"), cache_key(2, "a")}) == 3
    assert len(cache_key(1, "a")) <= 64
