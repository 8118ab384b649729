"""Effort, verbosity and the limit of the output: what a model is sent, and what is refused before that."""

from __future__ import annotations

import pytest

from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters, JobSpec, content_hash
from workers.contract.model_parameters import (
    ChoiceCheck,
    check_choices,
    output_limit,
    sends_temperature,
    sent_effort,
    sent_verbosity,
)
from workers.contract.model_profile import profile_of


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("gpt-6.1-terra", "high", "high"),
        ("gpt-6.1-terra", None, None),
        ("gpt-6.2-sol", "minimal", None),
        ("gpt-4o", "high", None),
        ("o1-mini", "high", None),
        ("llama3.2", "high", "high"),
        ("llama3.2", None, None),
    ],
)
def test_effort_and_verbosity_are_sent_where_the_model_takes_them(model: str, effort: str | None, sent: str | None):
    profile = profile_of(model)

    assert sent_effort(profile, effort) == sent
    assert sent_verbosity(profile, "low") == (None if model in {"gpt-4o", "o1-mini"} else "low")
    assert sent_verbosity(profile, None) is None


@pytest.mark.parametrize(
    ("model", "parameters", "words"),
    [
        ("gpt-6.2-sol", JobParameters(effort="none"), "choose from low, medium, high, xhigh, max"),
        ("gpt-4o", JobParameters(effort="low"), "takes no effort"),
        ("gpt-4.1", JobParameters(verbosity="low"), "takes no verbosity"),
    ],
)
def test_what_a_known_model_would_refuse_is_refused_before_it_is_enqueued(
    model: str, parameters: JobParameters, words: str
):
    spec = JobSpec(id="1", prompt="p", schema="feedback", model=model, parameters=parameters)

    with pytest.raises(InvalidInput, match=words):
        ChoiceCheck(profile_of).check(spec)
    check_choices("llama3.2", parameters, profile_of("llama3.2"))


@pytest.mark.parametrize(
    ("model", "effort", "limit"),
    [
        ("gpt-4o", None, 4_096),
        ("llama3.2", None, 4_096),
        ("gpt-5.1", None, 4_096),
        ("gpt-5.1", "high", 32_768),
        ("gpt-6.1-terra", None, 16_384),
        ("gpt-6.1-terra", "max", 65_536),
    ],
)
def test_the_default_limit_leaves_room_to_reason(model: str, effort: str | None, limit: int):
    profile = profile_of(model)

    assert output_limit(profile, None, effort) == limit
    assert output_limit(profile, 100, effort) == 100


def test_a_temperature_goes_with_no_effort_that_reasons():
    profile = profile_of("gpt-5.1")

    assert [sends_temperature(profile, effort) for effort in (None, "none", "low")] == [True, True, False]


def test_jobs_of_an_earlier_release_are_found_again():
    spec = JobSpec(id="1", prompt="p", schema="feedback", model="gpt-4o")
    as_once_written = JobSpec(
        id="1", prompt="p", schema="feedback", model="gpt-4o", parameters=JobParameters(max_tokens=4096)
    )

    assert content_hash(spec, schema_fingerprint="f", provider="p") == content_hash(
        as_once_written, schema_fingerprint="f", provider="p"
    )
    assert JobParameters(**spec.parameters.as_json()) == spec.parameters  # type: ignore[arg-type] # as the store reads it
    assert not {"max_tokens", "effort", "verbosity"} & spec.parameters.as_json().keys()
