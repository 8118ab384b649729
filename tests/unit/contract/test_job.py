from __future__ import annotations

import pickle
from typing import Any

import pytest

from workers.contract.errors import ConflictingJob, InvalidInput, ServiceUnavailable
from workers.contract.job import JobParameters, JobSpec, content_hash
from workers.contract.wire import JobMessage, broker_queue, celery_id


def spec(**changes: Any) -> JobSpec:
    return JobSpec(**({"id": "a", "prompt": "Grade this", "schema": "feedback", "model": "gpt-4o"} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "id must have"),
        ({"id": "x" * 256}, "id must have"),
        ({"prompt": " \n"}, "empty"),
        ({"prompt": "a\x00b"}, "NUL"),
        ({"prompt": "x" * (4 * 2**20 + 1)}, "larger than 4 MiB"),
        ({"prompt": "é" * (2 * 2**20 + 1)}, "larger than 4 MiB"),
        ({"model": " "}, "model"),
    ],
)
def test_a_job_no_worker_could_do_is_refused_when_it_is_made(changes: dict[str, Any], message: str):
    with pytest.raises(InvalidInput, match=message):
        spec(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"max_tokens": 0},
        {"max_retries": -1},
        {"retry_delay_seconds": -1.0},
        {"deadline_seconds": 0.0},
        {"fallback_model": " "},
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict[str, Any]):
    with pytest.raises(InvalidInput):
        JobParameters(**changes)


def test_a_prompt_does_not_show_in_a_repr():
    assert "Grade this" not in repr(spec())


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "Grade that"},
        {"model": "gpt-4.1"},
        {"parameters": JobParameters(temperature=0.0)},
        {"parameters": JobParameters(fallback_model="gpt-4.1")},
    ],
)
def test_whatever_decides_the_answer_changes_the_content_hash(changes: dict[str, Any]):
    def hashed(job: JobSpec) -> str:
        return content_hash(job, schema_fingerprint="f", provider="p")

    assert hashed(spec(**changes)) != hashed(spec())
    assert content_hash(spec(), schema_fingerprint="g", provider="p") != hashed(spec())
    assert content_hash(spec(), schema_fingerprint="f", provider="q") != hashed(spec())


def test_id_and_metadata_do_not_change_the_content_hash():
    first = content_hash(spec(), schema_fingerprint="f", provider="p")
    assert content_hash(spec(id="b", metadata={"seat": 4}), schema_fingerprint="f", provider="p") == first


def test_a_message_holds_a_job_id_and_a_version_and_nothing_else():
    assert JobMessage("j1").as_args() == ("j1", 1)
    assert celery_id("j1", 2) == "j1:2"


def test_queue_names_carry_the_provider():
    assert broker_queue("bulk", "api.openai.com") == "bulk.api.openai.com"
    assert broker_queue("bulk", "Weird Host_1!") == "bulk.weird-host-1"
    with pytest.raises(InvalidInput):
        broker_queue("bulk", "///")


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("wrong", where="a.csv line 3"),
        ConflictingJob("exists", where=None),
        ServiceUnavailable("store", "away"),
    ],
)
def test_errors_survive_pickling(error: Exception):
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
