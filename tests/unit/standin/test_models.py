"""Which model names exist, and what each model takes."""

import pytest

from ops.standin.errors import ApiError
from ops.standin.models import find_model, listed_models


@pytest.mark.parametrize(
    ("name", "snapshot", "limit_name"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-2024-11-20", "gpt-4o-2024-11-20", "gpt-4o"),
        ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("o3", "o3-2025-04-16", "o3"),
        ("gpt-6.1-terra", "gpt-6.1-terra", "gpt-6.1-terra"),
        ("gpt-6-luna", "gpt-6-luna", "gpt-6-luna"),
        ("gpt-5.6", "gpt-5.6", "gpt-5.6"),
        ("standin-large", "standin-large", "standin-large"),
    ],
)
def test_an_alias_answers_as_its_snapshot_and_shares_its_limit(name: str, snapshot: str, limit_name: str):
    model = find_model(name)
    assert (model.name, model.snapshot, model.limit_name) == (name, snapshot, limit_name)


@pytest.mark.parametrize(
    "name", ["gpt-4oo", "gpt4o", "GPT-4o", "o5", "claude", "gpt-4o ", "", "gpt-4.2", "gpt-6.1-luna"]
)
def test_a_misspelt_name_is_not_found_unless_every_name_is_taken(name: str):
    with pytest.raises(ApiError, match="does not exist or you do not have access to it") as refusal:
        find_model(name)
    assert (refusal.value.status, refusal.value.code) == (404, "model_not_found")
    assert find_model(name, any_model=True).snapshot == name


@pytest.mark.parametrize(
    ("name", "effort", "takes_sampling"),
    [
        ("gpt-4o", None, True),
        ("o3", None, False),
        ("gpt-5", None, False),
        ("gpt-5-mini", "minimal", False),
        ("gpt-5.1", None, True),
        ("gpt-5.4", "none", True),
        ("gpt-5.4", "low", False),
        ("gpt-5.2-chat-latest", None, False),
        ("gpt-5.5", None, False),
        ("gpt-5.5", "none", True),
    ],
)
def test_reasoning_decides_about_temperature(name: str, effort: str | None, *, takes_sampling: bool):
    assert find_model(name).takes_sampling(effort) is takes_sampling


@pytest.mark.parametrize("name", ["gpt-4", "gpt-4.1-nano", "gpt-4o-2024-05-13", "o1", "o3-mini", "o4-mini-2025-04-16"])
def test_a_model_that_was_shut_down_is_not_found_unless_every_name_is_taken(name: str):
    with pytest.raises(ApiError, match="does not exist") as refusal:
        find_model(name)
    assert refusal.value.status == 404
    assert find_model(name, any_model=True).shutdown_date == "2026-10-23"


def test_the_list_holds_living_models_with_the_date_of_their_end():
    listed = {model.name: model.shutdown_date for model in listed_models()}

    assert listed["gpt-4o"] == listed["gpt-4o-2024-08-06"] == "2027-01-14"
    assert listed["gpt-6.1-terra"] is None
    assert "o4-mini" not in listed
