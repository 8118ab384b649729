"""What the errors and log lines of the public function say."""

from __future__ import annotations

import logging
import pickle

import pytest

from tests.support.openai_calls import (
    MODULE,
    Calls,
    answer,
    api_error,
    rate_limit,
    review,
    timeout,
)
from workers.completion.openai_exceptions import OpenAISchemaValidationError, OpenAITransportError


async def test_the_log_tells_the_story_without_texts(calls: Calls, caplog: pytest.LogCaptureFixture):
    response = answer('{"summary": "Anna"}')
    response.usage.prompt_tokens, response.usage.completion_tokens = 120, 30
    calls.will(rate_limit(2.5), response)

    with caplog.at_level(logging.INFO), pytest.raises(OpenAISchemaValidationError):
        await review()

    events = [record.getMessage() for record in caplog.records if record.name == MODULE]
    assert [event.split()[0] for event in events] == [
        "completion.started",
        "completion.retry",
        "completion.ended",
    ]
    assert all("model=gpt-4o schema=Review" in event for event in events)
    assert "wait_seconds=2.5 " in events[1]
    assert "prompt_tokens=120 completion_tokens=30" in events[2]
    assert "Anna" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        OpenAITransportError("no", 429, 3, kind="rate_limited"),
        OpenAISchemaValidationError("no", "Review", [{"loc": ["score"]}], "{}", kind="refused", refusal="never"),
    ],
)
def test_the_public_errors_survive_pickling(error: Exception):
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(copy) is type(error)
    assert str(copy) == "no"
    assert copy.__dict__ == error.__dict__


def test_the_attributes_have_their_defaults():
    assert OpenAITransportError("no").__dict__ == {
        "message": "no",
        "status_code": None,
        "retry_after": None,
        "correlation_id": None,
        "attempt_count": None,
        "kind": "provider_unavailable",
    }
    assert OpenAISchemaValidationError("no").validation_errors == []
    assert OpenAISchemaValidationError("no").decision_notes is None


async def test_errors_say_how_many_requests_were_sent_and_how_to_find_them_in_the_log(
    calls: Calls, caplog: pytest.LogCaptureFixture
):
    calls.will(timeout(), answer("{}"), answer('{"summary": "Anna"}'))

    with caplog.at_level(logging.INFO), pytest.raises(OpenAISchemaValidationError) as caught:
        await review(allow_repair=True)

    error = caught.value
    assert error.attempt_count == calls.create.call_count == 3
    assert error.correlation_id
    assert all(error.correlation_id in record.getMessage() for record in caplog.records if record.name == MODULE)
    assert error.decision_notes == "finish_reason not given, tokens not counted"

    calls.create.side_effect = api_error(400)
    with pytest.raises(OpenAITransportError) as refused:
        await review()
    assert refused.value.attempt_count == 1
    assert refused.value.correlation_id not in {None, error.correlation_id}


def test_the_errors_take_their_attributes_in_the_order_of_the_original():
    transport = OpenAITransportError("no", 429, 3, "id", 2)
    schema = OpenAISchemaValidationError("no", "Review", [], "{}", "id", "notes", 2)

    assert (transport.correlation_id, transport.attempt_count) == ("id", 2)
    assert (schema.correlation_id, schema.decision_notes, schema.attempt_count) == ("id", "notes", 2)


async def test_without_a_token_limit_none_is_sent(calls: Calls):
    await review(max_tokens=None)

    assert not {"max_tokens", "max_completion_tokens"} & calls.create.call_args.kwargs.keys()


async def test_an_empty_answer_is_tried_again_only_when_that_is_asked_for(calls: Calls):
    calls.will(answer(None), timeout(), answer("  "), answer())

    assert (await review(retry_empty_response=True, retry_delay=1.5)).score == 90
    assert calls.waits == [1.5, 3.0, 6.0]
    schemas = [sent.kwargs["response_format"] for sent in calls.create.call_args_list]
    assert all(schema == schemas[0] for schema in schemas)

    calls.create.side_effect = None
    calls.create.return_value = answer(None)
    with pytest.raises(OpenAISchemaValidationError, match="Empty response") as caught:
        await review(retry_empty_response=True, max_retries=2)
    assert caught.value.attempt_count == 3
