"""Which parameters a model takes and what its answers cost; an unknown price is None, never 0."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.standin.models import find_model
from workers.contract.errors import InvalidInput
from workers.contract.model_profile import ModelProfile, ModelProfiles, load_profiles, profile_of
from workers.contract.outcome import Usage

if TYPE_CHECKING:
    from pathlib import Path

GPT_6 = ["gpt-6.2-astra", "gpt-6.2-sol", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-astra", "gpt-6-luna", "gpt-5.6-terra"]
USAGE = Usage(prompt_tokens=200_000, completion_tokens=1_000_000)
TODAY = date(2026, 11, 27)


def cost_usd(
    model: str, usage: Usage, host: str | None = None, *, profiles: ModelProfiles | None = None
) -> float | None:
    return profile_of(model, host, profiles=profiles).cost_usd(usage)


@pytest.mark.parametrize(
    ("model", "token_parameter", "takes_temperature"),
    [
        ("gpt-4o", "max_tokens", True),
        ("gpt-4o-2024-08-06", "max_tokens", True),
        ("gpt-4o-mini", "max_tokens", True),
        ("gpt-4.1-nano", "max_tokens", True),
        ("ft:gpt-4o-mini-2024-07-18:school::x1", "max_tokens", True),
        ("gpt-5-mini", "max_completion_tokens", False),
        ("gpt-5-nano-2025-08-07", "max_completion_tokens", False),
        ("gpt-5.2", "max_completion_tokens", True),
        ("gpt-5.4-2026-03-05", "max_completion_tokens", True),
        ("gpt-5.2-pro", "max_completion_tokens", False),
        ("gpt-5.5", "max_completion_tokens", False),
        ("openai/gpt-5.5", "max_completion_tokens", False),
        ("gpt-6-sol", "max_completion_tokens", False),
        ("o1", "max_completion_tokens", False),
        ("o3-mini", "max_completion_tokens", False),
        ("o4-mini-2025-04-16", "max_completion_tokens", False),
        ("llama3.2", "max_tokens", True),
        ("gpt-oss:20b", "max_tokens", True),
        ("anthropic/some-model", "max_tokens", True),
        ("ft:", "max_tokens", True),
        ("", "max_tokens", True),
    ],
)
def test_each_family_gets_the_parameters_it_takes(model: str, token_parameter: object, takes_temperature: object):
    profile = profile_of(model)

    assert (profile.token_parameter, profile.takes_temperature) == (token_parameter, takes_temperature)


@pytest.mark.parametrize(
    "model", ["gpt-4o", "gpt-4.1", "gpt-5", "gpt-5-mini", "gpt-5.1", "gpt-5.4", "gpt-5.5", "o3", *GPT_6]
)
def test_the_stand_in_takes_what_a_profile_sends(model: str):
    profile, catalogued = profile_of(model), find_model(model)

    assert profile.takes_temperature == catalogued.takes_sampling(None)
    assert (profile.token_parameter == "max_completion_tokens") == catalogued.reasons
    assert set(profile.efforts or ()) <= set(catalogued.efforts)
    assert profile.takes_verbosity == catalogued.takes_verbosity
    assert profile.shutdown_on == catalogued.shutdown_date


@given(st.text())
def test_any_name_has_a_profile(model: str):
    assert isinstance(profile_of(model), ModelProfile)


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        ("gpt-4o", USAGE, 10.5),
        ("gpt-6.1-terra", USAGE, 5.2),
        ("gpt-6.1-terra", Usage(prompt_tokens=200_000, cached_tokens=100_000, cache_write_tokens=50_000), 0.1175),
        ("gpt-6.1-terra", Usage(prompt_tokens=300_000, completion_tokens=100_000), 0.6 + 0.75),
        ("gpt-6.1-terra", Usage(prompt_tokens=300_000, cached_tokens=300_000), 0.03),
        ("gpt-6.2-astra", Usage(prompt_tokens=200_000), 1.6),
        (
            "gpt-6.2-astra",
            Usage(prompt_tokens=200_000, cached_tokens=100_000, cache_write_tokens=50_000),
            0.4 + 0.04 + 0.5,
        ),
        ("gpt-4o", Usage(prompt_tokens=1_000, completion_tokens=100), 0.0035),
        ("gpt-4o", Usage(prompt_tokens=1_000_000, cached_tokens=400_000), 0.6 * 2.5 + 0.4 * 1.25),
        ("gpt-5-mini", Usage(completion_tokens=1_000, reasoning_tokens=900), 0.002),
        ("gpt-4o", Usage(), 0.0),
        ("llama3.2", USAGE, None),
        ("llama3.2", Usage(), None),
        ("gpt-7-sol", USAGE, None),
        ("o4-mini", Usage(prompt_tokens=10, cached_tokens=5), None),
        ("o4-mini", Usage(prompt_tokens=1_000_000), 1.1),
        ("gpt-5.5", Usage(prompt_tokens=272_000), 1.36),
        ("gpt-5.5", Usage(prompt_tokens=300_000), 3.0),
        ("ft:gpt-4o:school::x1", USAGE, None),
    ],
)
def test_cost_follows_from_usage_and_a_price_that_is_not_known_is_none(model: str, usage: object, expected: object):
    cost = cost_usd(model, usage)

    assert cost == pytest.approx(expected) if expected is not None else cost is None


def test_another_server_sets_its_own_prices():
    assert cost_usd("gpt-4o", USAGE, "api.openai.com") == 10.5
    assert cost_usd("gpt-4o", USAGE, "127.0.0.1") is None
    assert profile_of("gpt-5", "school.openai.azure.com").token_parameter == "max_completion_tokens"
    assert profile_of("gpt-5", "school.openai.azure.com").shutdown_on is None
    assert not profile_of("gpt-6.1-terra", "127.0.0.1").takes_cache_breakpoint
    assert profile_of("gpt-6.1-terra").takes_cache_breakpoint
    assert not profile_of("gpt-6.1-terra", "127.0.0.1").takes_service_tier
    assert profile_of("gpt-6.1-terra").takes_service_tier
    assert profile_of("gpt-4o").takes_service_tier
    assert (profile_of("gpt-4o").charges_larger, profile_of("gpt-4o", "127.0.0.1").charges_larger) == (True, False)


def test_the_end_of_a_model_is_counted_in_days_and_names_a_replacement():
    profile = profile_of("gpt-4o-mini-2024-07-18")

    assert (profile.days_to_shutdown(TODAY), profile.replacement) == (48, "gpt-6-luna")
    assert profile_of("o4-mini").days_to_shutdown(TODAY) == -35
    assert profile_of("gpt-6-luna").days_to_shutdown(TODAY) is None


def test_every_bundled_model_says_where_its_values_come_from():
    profiles = load_profiles()

    for name in profiles.named:
        profile = profiles.find(name)
        assert profile.source, name
        assert date.fromisoformat(profile.read_on or ""), name
        assert profile.context_tokens, name


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_users_file_overrides_single_fields_and_holds_for_any_server(tmp_path: Path):
    own = {
        "gpt-4o": {"price_output_usd_per_mtok": 20},
        "llama3.2": {
            "price_input_usd_per_mtok": 0,
            "price_cached_input_usd_per_mtok": 0,
            "price_output_usd_per_mtok": 0,
            "context_tokens": 8192,
        },
    }
    profiles = load_profiles(write(tmp_path / "own.json", {"models": own}))

    assert cost_usd("gpt-4o", USAGE, profiles=profiles) == 20.5
    assert profile_of("gpt-4o", profiles=profiles).context_tokens == 128_000
    assert cost_usd("llama3.2", USAGE, "127.0.0.1", profiles=profiles) == 0.0
    assert profile_of("gpt-5", profiles=profiles) == profile_of("gpt-5")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ([], "must be a JSON object"),
        ({"models": 3}, "must be a JSON object"),
        ({"models": {"m": 3}}, "m: a profile must be"),
        ({"models": {"m": {"price": 3}}}, "'price' is not a field"),
        ({"models": {"m": {"price_input_usd_per_mtok": -1}}}, "cannot be -1"),
        ({"models": {"m": {"price_input_usd_per_mtok": "free"}}}, "cannot be 'free'"),
        ('{"models": {"m": {"price_input_usd_per_mtok": NaN}}}', "cannot be nan"),
        ({"models": {"m": {"context_tokens": 0}}}, "cannot be 0"),
        ({"models": {"m": {"context_tokens": 1.5}}}, "cannot be 1.5"),
        ({"models": {"m": {"takes_temperature": 1}}}, "cannot be 1"),
        ({"models": {"m": {"token_parameter": "tokens"}}}, "cannot be 'tokens'"),
        ({"models": {"m": {"efforts": "low"}}}, "cannot be 'low'"),
        ({"models": {"m": {"efforts": ["lots"]}}}, "cannot be ['lots']"),
        ({"models": {"m": {"default_effort": "lots"}}}, "cannot be 'lots'"),
        ({"models": {"m": {"shutdown_on": "soon"}}}, "cannot be 'soon'"),
        ({"models": {"m": {"replacement": ""}}}, "cannot be ''"),
        ({"models": {"m": {"long_prompt_input_factor": 0.5}}}, "cannot be 0.5"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, content: object, words: object):
    path = write(tmp_path / "own.json", content)

    with pytest.raises(InvalidInput) as caught:
        load_profiles(path)

    assert words in str(caught.value)
    assert "own.json" in str(caught.value)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"nowhere\.json: .*cannot be read"):
        load_profiles(tmp_path / "nowhere.json")


def test_every_bundled_price_is_whole_or_absent():
    for name in (
        "gpt-6.2-astra",
        "gpt-6.2-sol",
        "gpt-6.1-terra",
        "gpt-6-luna",
        "gpt-5.5",
        "gpt-5.4",
        "gpt-5.4-mini",
        "gpt-5",
        "gpt-4.1",
        "gpt-4o",
        "gpt-4o-mini",
        "o3",
    ):
        profile = profile_of(name)

        assert profile.price_input_usd_per_mtok
        assert profile.price_cached_input_usd_per_mtok
        assert profile.price_cached_input_usd_per_mtok < profile.price_input_usd_per_mtok
        assert profile.price_output_usd_per_mtok
        assert profile.context_tokens
        assert profile.max_output_tokens
