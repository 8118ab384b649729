"""What users of the wrapper rely on, with the patches that their own tests make: no network, no waiting."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import MagicMock, call

import pytest
from pydantic import BaseModel, Field

from tests.support.openai_calls import (
    PROMPT,
    Calls,
    Review,
    answer,
    api_error,
    connection,
    rate_limit,
    review,
    timeout,
)
from workers.completion.openai_client import get_structured_completion
from workers.completion.openai_exceptions import OpenAISchemaValidationError, OpenAITransportError


async def test_a_valid_answer_comes_back_as_the_model(calls: Calls):
    assert await review(max_tokens=500, temperature=0.7) == Review(summary="fine", score=90)

    sent = calls.create.call_args.kwargs
    assert sent["model"] == "gpt-4o"
    assert sent["temperature"] == 0.7
    assert sent["max_tokens"] == 500
    assert "max_completion_tokens" not in sent
    assert sent["messages"] == [{"role": "user", "content": PROMPT}]
    assert sent["response_format"]["type"] == "json_schema"
    assert sent["response_format"]["json_schema"]["name"] == "Review"
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert "maximum" in sent["response_format"]["json_schema"]["schema"]["properties"]["score"]


async def test_a_reasoning_model_gets_the_parameters_it_takes(calls: Calls):
    await get_structured_completion(PROMPT, "gpt-5-mini", Review, max_tokens=500)

    sent = calls.create.call_args.kwargs
    assert sent["max_completion_tokens"] == 500
    assert not {"max_tokens", "temperature", "service_tier"} & sent.keys()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": ""}, "Prompt cannot be empty"),
        ({"prompt": " \n\t "}, "Prompt cannot be empty"),
        ({"prompt": None}, "Prompt cannot be empty"),
        ({"model_name": ""}, "Model name cannot be empty"),
        ({"temperature": 3.0}, "Temperature must be between"),
        ({"temperature": -0.1}, "Temperature must be between"),
        ({"temperature": float("nan")}, "Temperature must be between"),
        ({"max_tokens": 0}, "max_tokens must be positive"),
        ({"max_tokens": -100}, "max_tokens must be positive"),
        ({"max_retries": -1}, "max_retries must be non-negative"),
        ({"retry_delay": -1.0}, "retry_delay must be non-negative"),
        ({"schema_model": dict}, "schema_model must be a pydantic model"),
        ({"schema_model": Review(summary="", score=1)}, "schema_model must be a pydantic model"),
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_sent(calls: Calls, options: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        await get_structured_completion(**{"prompt": PROMPT, "model_name": "gpt-4o", "schema_model": Review, **options})

    calls.create.assert_not_called()


async def test_a_schema_that_strict_mode_cannot_hold_is_refused_before_anything_is_sent(calls: Calls):
    class FreeForm(BaseModel):
        values: dict[str, Any]

    with pytest.raises(ValueError, match="/properties/values"):
        await get_structured_completion(PROMPT, "gpt-4o", FreeForm)

    calls.create.assert_not_called()


@pytest.mark.parametrize(
    "fault",
    [
        timeout,
        connection,
        lambda: api_error(500),
        lambda: api_error(503),
        lambda: api_error(408),
        lambda: api_error(409),
        rate_limit,
    ],
)
async def test_what_may_pass_is_tried_again_with_growing_waits(calls: Calls, fault: Any):
    calls.will(fault(), fault(), fault(), answer())

    assert (await review(retry_delay=1.5)).score == 90
    assert calls.waits == [1.5, 3.0, 6.0]


async def test_attempts_are_bounded_and_counted_in_the_message(calls: Calls):
    calls.create.side_effect = timeout()

    with pytest.raises(OpenAITransportError, match="Failed after 3 attempts") as caught:
        await review(max_retries=2)

    assert calls.create.call_count == 3
    assert len(calls.waits) == 2
    assert caught.value.kind == "timed_out"
    assert caught.value.retry_after is None


async def test_the_servers_wait_replaces_the_backoff_exactly(calls: Calls):
    calls.will(rate_limit(2.5), timeout(), rate_limit(retry_after_ms="1250"), answer())

    await review()

    assert calls.sleep.call_args_list == [call(2.5), call(2.0), call(1.25)]


async def test_a_limit_that_lasts_is_said_with_status_and_whole_seconds(calls: Calls):
    calls.create.side_effect = rate_limit(2.5)

    with pytest.raises(OpenAITransportError, match=r"Failed after 2 attempts: Rate limit exceeded") as caught:
        await review(max_retries=1)

    assert (caught.value.status_code, caught.value.retry_after, caught.value.kind) == (429, 3, "rate_limited")
    assert calls.waits == [2.5]


@pytest.mark.parametrize(
    ("status_code", "kind"),
    [
        (400, "rejected_request"),
        (401, "auth_failed"),
        (402, "quota_exhausted"),
        (403, "auth_failed"),
        (404, "rejected_request"),
        (410, "rejected_request"),
        (413, "context_too_long"),
        (422, "rejected_request"),
    ],
)
async def test_other_client_errors_are_never_tried_again(calls: Calls, status_code: int, kind: str):
    calls.create.side_effect = api_error(status_code)

    with pytest.raises(OpenAITransportError) as caught:
        await review()

    assert calls.create.call_count == 1
    assert (caught.value.status_code, caught.value.kind) == (status_code, kind)


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached", "credit_balance_exhausted"])
async def test_a_limit_about_money_is_never_tried_again(calls: Calls, code: str):
    error = rate_limit()
    error.body = {"code": code}
    calls.create.side_effect = error

    with pytest.raises(OpenAITransportError) as caught:
        await review()

    assert calls.create.call_count == 1
    assert caught.value.kind == "quota_exhausted"


async def test_an_answer_that_does_not_fit_is_not_tried_again(calls: Calls):
    calls.create.return_value = answer('{"summary": "Anna did well"}')

    with pytest.raises(OpenAISchemaValidationError) as caught:
        await review()

    error = caught.value
    assert calls.create.call_count == 1
    assert error.schema_name == "Review"
    assert error.raw_output == '{"summary": "Anna did well"}'
    assert [found["loc"] for found in error.validation_errors] == [["score"]]
    assert error.kind == "invalid_output"
    assert "Anna" not in str(error)


class Assessment(BaseModel):
    """As the seed project's callers declare theirs: defaults, a dict, and answers that leave out or add fields."""

    rubric_id: str
    points: int
    counts: dict[str, int] = Field(default_factory=dict)
    band: str | None = None


@pytest.mark.parametrize(
    ("content", "counts"),
    [
        ('{"rubric_id": "r", "points": 85}', {}),
        ('{"rubric_id": "r", "points": 85, "counts": {"major": 2}, "band": null}', {"major": 2}),
        ('{"rubric_id": "r", "points": 85, "counts": [{"key": "major", "value": 2}], "remark": "more"}', {"major": 2}),
    ],
)
async def test_what_the_functions_callers_rely_on_is_taken(calls: Calls, content: str, counts: dict[str, int]):
    calls.create.return_value = answer(content)

    assert (await get_structured_completion(PROMPT, "gpt-4o", Assessment)).counts == counts


@pytest.mark.parametrize("points", ["true", '"85"', "1e400", "NaN", "85.5", "null"])
async def test_no_other_type_is_bent_into_a_number(calls: Calls, points: str):
    calls.create.return_value = answer(f'{{"rubric_id": "r", "points": {points}}}')

    with pytest.raises(OpenAISchemaValidationError) as caught:
        await get_structured_completion(PROMPT, "gpt-4o", Assessment)
    assert caught.value.kind == "invalid_output"


async def test_an_empty_answer_is_said(calls: Calls):
    calls.create.return_value = answer(None)

    with pytest.raises(OpenAISchemaValidationError, match="Empty response"):
        await review()

    assert calls.create.call_count == 1


@pytest.mark.parametrize(("max_retries", "before"), [(0, []), (1, [timeout])])
async def test_a_repair_shows_the_answer_and_its_errors_and_spends_no_retry(
    calls: Calls, max_retries: int, before: list[Any]
):
    calls.will(*(fault() for fault in before), answer('{"summary": "good"}'), answer())

    assert (await review(allow_repair=True, max_retries=max_retries)).score == 90

    user, own, correction = calls.create.call_args.kwargs["messages"]
    assert user == {"role": "user", "content": PROMPT}
    assert own == {"role": "assistant", "content": '{"summary": "good"}'}
    assert correction["role"] == "user"
    assert "score: Field required" in correction["content"]


async def test_a_repair_may_itself_be_tried_again(calls: Calls):
    calls.will(answer("{}"), timeout(), answer())

    assert (await review(allow_repair=True, max_retries=1)).score == 90
    assert len(calls.create.call_args.kwargs["messages"]) == 3


async def test_there_is_one_repair_and_no_more(calls: Calls):
    calls.create.return_value = answer("{}")

    with pytest.raises(OpenAISchemaValidationError) as caught:
        await review(allow_repair=True)

    assert calls.create.call_count == 2
    assert len(caught.value.validation_errors) == 2


@pytest.mark.parametrize(
    ("attribute", "value", "kind"),
    [
        ("refusal", "I will not grade Anna", "refused"),
        ("finish_reason", "length", "truncated"),
        ("finish_reason", "content_filter", "content_filtered"),
    ],
)
async def test_answers_that_cannot_be_mended_are_not_repaired(calls: Calls, attribute: str, value: str, kind: str):
    response = answer('{"summary": "Anna')
    setattr(response.choices[0].message if attribute == "refusal" else response.choices[0], attribute, value)
    calls.create.return_value = response

    with pytest.raises(OpenAISchemaValidationError) as caught:
        await review(allow_repair=True)

    assert calls.create.call_count == 1
    assert caught.value.kind == kind
    assert caught.value.refusal == (value if kind == "refused" else None)
    assert "Anna" not in str(caught.value)


async def test_no_error_holds_prompt_or_provider_text(calls: Calls):
    for status_code in (400, 401, 429, 500):
        calls.create.side_effect = api_error(status_code)

        with pytest.raises(OpenAITransportError) as caught:
            await review(max_retries=0)

        assert "Anna" not in f"{caught.value} {caught.value!r} {caught.value.__dict__}"


async def test_a_cancelled_call_stays_cancelled(calls: Calls):
    calls.create.side_effect = asyncio.CancelledError()

    with pytest.raises(asyncio.CancelledError):
        await review()

    assert calls.create.call_count == 1


async def test_an_error_of_the_callers_own_code_passes_through(calls: Calls):
    calls.create.side_effect = NotImplementedError

    with pytest.raises(NotImplementedError):
        await review()


async def test_a_very_long_row_of_retries_does_not_overflow(calls: Calls):
    calls.create.side_effect = timeout()

    with pytest.raises(OpenAITransportError):
        await review(max_retries=1_100)

    assert max(calls.waits) == 86_400


async def test_calls_side_by_side_keep_their_own_answers(calls: Calls):
    async def echo(**sent: Any) -> MagicMock:
        return answer(f'{{"summary": "{sent["messages"][0]["content"]}", "score": 1}}')

    calls.create.side_effect = echo

    results = await asyncio.gather(
        *(get_structured_completion(f"call {number}", "gpt-4o", Review) for number in range(50))
    )

    assert [result.summary for result in results] == [f"call {number}" for number in range(50)]
