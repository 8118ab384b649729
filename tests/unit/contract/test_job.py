from __future__ import annotations

import hashlib
import json
import pickle
import re
from dataclasses import replace
from typing import Any

import pytest

from workers.contract.errors import ConflictingJob, InvalidInput, ServiceUnavailable
from workers.contract.job import JobParameters, JobSpec, content_hash, prompt_hash
from workers.contract.twins import twin_key
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
        ({"id": "a\x00b"}, r"U\+0000"),
        ({"id": "a\x1b[2J"}, r"U\+001B"),
        ({"id": "a\nb"}, r"U\+000A"),
        ({"id": "a\ud800"}, r"U\+D800"),
        ({"schema": "s" * 256}, "schema of 'a' must have"),
        ({"model": "m\x00"}, r"model of 'a' .* U\+0000"),
        ({"prompt": "half \ud800"}, "lone surrogate"),
        ({"metadata": {"note": ["x", {"deep": "a\x00b"}]}}, r"metadata of 'a' .* U\+0000"),
        ({"metadata": {"no\x1bte": 1}}, r"metadata of 'a' .* U\+001B"),
    ],
)
def test_a_job_no_worker_could_do_is_refused_when_it_is_made(changes: dict[str, Any], message: str):
    with pytest.raises(InvalidInput, match=message):
        spec(**changes)


def test_a_message_about_a_control_character_holds_none():
    with pytest.raises(InvalidInput) as caught:
        spec(id="a\x1b[2J")
    assert str(caught.value).isprintable()


def test_metadata_may_have_lines_and_tabs():
    assert spec(metadata={"comment": "two\r\nlines\tand a page\x0c", "n": [1, None, True]}).metadata["n"]


@pytest.mark.parametrize(
    "changes",
    [
        {"fallback_model": "m\x00"},
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


def test_queue_names_carry_the_provider_and_the_store():
    assert broker_queue("bulk", "api.openai.com", "9f3c") == "bulk.api.openai.com.9f3c"
    assert re.fullmatch(r"bulk\.weird-host-1-[0-9a-f]{8}\.9f3c", broker_queue("bulk", "Weird Host_1!", "9f3c"))
    with pytest.raises(InvalidInput):
        broker_queue("bulk", "///", "9f3c")


def test_no_two_providers_ever_share_a_queue():
    alike = ["localhost:8080", "localhost-8080", "localhost/8080", "LOCALHOST:8080", "host/a/b", "host/a-b", "host/a_b"]
    assert len({broker_queue("bulk", provider, "9f3c") for provider in alike}) == len(alike)


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


def test_a_jobs_hash_follows_its_prompt_when_it_is_copied_with_another():
    one = spec(prompt="one")
    assert one.prompt_hash == prompt_hash("one")
    assert replace(one, prompt="two").prompt_hash == prompt_hash("two")
    assert one == spec(prompt="one"), "what was hashed before is the same job"


@pytest.mark.parametrize("instructions", [None, 'Grade "it" \\ é'])
@pytest.mark.parametrize("parameters", [JobParameters(temperature=0), JobParameters(temperature=0.0, effort="low")])
def test_the_hashes_are_those_of_the_whole_content_as_json(parameters: JobParameters, instructions: str | None):
    """However little of it is written anew for each job: jobs of earlier releases must find their hashes again."""
    job = spec(parameters=parameters, instructions=instructions, model='m"\\é')
    shared: dict[str, object] = {"model": job.model, "parameters": parameters.identity(), "schema": "f"}
    if instructions is not None:
        shared["instructions"] = prompt_hash(instructions)
    content = {**shared, "prompt": job.prompt_hash, "provider": 'p"'}
    written = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    assert content_hash(job, schema_fingerprint="f", provider='p"') == hashlib.sha256(written).hexdigest()
    for like in (job, replace(job, likeness='like"')):
        work = like.likeness or like.prompt_hash
        written = json.dumps({**shared, "context": None, "work": work}, sort_keys=True).encode()
        key = twin_key(like, schema_fingerprint="f", context_hash=None)
        assert key == hashlib.sha256(written).hexdigest()[:32]
