"""A limit that does not travel is told to the model in words, and lengths travel only where a server takes them."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from unittest.mock import AsyncMock
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, Field, NaiveDatetime, PastDate, ValidationError, create_model

from ops.standin.schema_rules import SchemaRefusal, check_schema
from workers.completion.attempt import CompletionRequest, attempt_completion
from workers.contract.model_profile import ModelProfile
from workers.contract.registry import fingerprint
from workers.contract.strict.lint import lint
from workers.contract.strict.schema import decode, strict_schema


def made(annotation: Any) -> type[BaseModel]:
    return create_model("Made", value=(annotation, ...))


def node(annotation: Any, **options: Any) -> dict[str, Any]:
    model = made(annotation)
    check_schema(json.loads(json.dumps(strict_schema(model))))
    found: dict[str, Any] = strict_schema(model, **options)["properties"]["value"]  # type: ignore[index]
    return found


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[str, Field(max_length=80)], "At most 80 characters."),
        (Annotated[str, Field(min_length=1)], "At least 1 character."),
        (Annotated[str, Field(min_length=2, max_length=9)], "2 to 9 characters."),
        (Annotated[str, Field(min_length=5, max_length=5)], "Exactly 5 characters."),
        (Annotated[str, Field(max_length=80, description="Why")], "Why. At most 80 characters."),
        (Annotated[str, Field(max_length=80, description="Why?")], "Why? At most 80 characters."),
        (Annotated[str, Field(json_schema_extra={"pattern": "^(?!x)"})], "Must match the regular expression ^(?!x)"),
        (
            AnyUrl,
            "Format: uri.",
        ),
        (bytes, "Format: binary."),
        (set[int], "Each item once."),
        (Annotated[Decimal, Field(max_digits=5, decimal_places=2)], "At most 5 digits. At most 2 of them after"),
        (Annotated[Decimal, Field(decimal_places=2)], "At most 2 decimal places."),
        (Annotated[date, Field(ge=date(2026, 1, 1), lt=date(2027, 1, 1))], "Not below 2026-01-01. Below 2027-01-01."),
        (Annotated[datetime, Field(gt=datetime(2026, 1, 1))], "Above 2026-01-01T00:00:00."),  # noqa: DTZ001 - as users write it
        (Annotated[timedelta, Field(le=timedelta(days=2))], "Not above 2 days, 0:00:00."),
        (PastDate, "In the past."),
        (NaiveDatetime, "Without a time zone."),
        (Annotated[float, Field(json_schema_extra={"maximum": 10**400})], "Not above 1000"),
    ],
)
def test_what_is_left_off_the_wire_is_said(annotation: Any, words: str):
    assert words in node(annotation)["description"]


def test_a_limit_within_a_list_a_union_or_a_key_is_said_there():
    short = Annotated[str, Field(max_length=3)]

    assert node(list[short])["items"]["description"] == "At most 3 characters."
    assert node(short | None)["anyOf"][0]["description"] == "At most 3 characters."
    assert node(dict[short, int])["items"]["properties"]["key"]["description"] == "At most 3 characters."


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (dict[int, str], "7", "seven"),
        (dict[float, str], "0.5", "half"),
        (dict[Decimal, str], "-1.5", "1e5"),
        (dict[bool, str], "true", "yes"),
        (dict[date, str], "2026-11-27", "today"),
        (dict[UUID, str], "7d44a1b0-6f5c-4f0e-9a55-0d8f0a6c1e11", "7"),
    ],
)
def test_a_key_that_is_no_text_for_the_model_is_held_to_its_spelling(annotation: Any, good: str, bad: str):
    model = made(annotation)

    assert len(decode(model, json.dumps({"value": [{"key": good, "value": "x"}]})).value) == 1  # type: ignore[attr-defined]
    with pytest.raises(ValidationError):
        decode(model, json.dumps({"value": [{"key": bad, "value": "x"}]}))


def test_the_bounds_of_a_key_are_said():
    key = node(dict[Annotated[int, Field(ge=3)], str])["items"]["properties"]["key"]

    assert (key["pattern"], key["description"]) == ("^-?[0-9]+$", "Not below 3.")


def test_a_decimal_is_a_number_with_its_bounds():
    bounded = node(Annotated[Decimal, Field(ge=0, le=100)])

    assert (bounded["type"], bounded["minimum"], bounded["maximum"]) == ("number", 0, 100)
    assert decode(made(Decimal), '{"value": 0.10}').value == Decimal("0.1")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("digits", "bounds"),
    [
        ({"decimal_places": 2}, {"multipleOf": 0.01}),
        ({"decimal_places": 0}, {"multipleOf": 1}),
        (
            {"max_digits": 5, "decimal_places": 2},
            {"multipleOf": 0.01, "exclusiveMinimum": -1000, "exclusiveMaximum": 1000},
        ),
        (
            {"max_digits": 5, "decimal_places": 2, "ge": 0, "le": 100},
            {"multipleOf": 0.01, "minimum": 0, "maximum": 100},
        ),
        ({"multiple_of": Decimal("0.25"), "decimal_places": 2}, {"multipleOf": 0.25}),
        ({"max_digits": 3}, {}),
    ],
)
def test_the_digits_of_a_decimal_travel_as_bounds(digits: dict[str, Any], bounds: dict[str, Any]):
    found = node(Annotated[Decimal, Field(**digits)])

    assert {key: value for key, value in found.items() if key not in {"type", "description"}} == bounds


def test_an_answer_with_more_digits_than_a_decimal_has_is_refused():
    model = made(Annotated[Decimal, Field(max_digits=5, decimal_places=2)])

    assert decode(model, '{"value": 999.99}').value == Decimal("999.99")  # type: ignore[attr-defined]
    for value in ("0.001", "1000", "99999"):
        with pytest.raises(ValidationError):
            decode(model, f'{{"value": {value}}}')


def test_lengths_travel_only_to_a_server_that_takes_them():
    short = Annotated[str, Field(min_length=1, max_length=3)]

    assert not {"minLength", "maxLength"} & node(short).keys()
    assert {"minLength": 1, "maxLength": 3}.items() <= node(short, takes_lengths=True).items()
    sent = strict_schema(made(short), takes_lengths=True)
    assert lint(sent, takes_lengths=True) == []
    with pytest.raises(SchemaRefusal):
        check_schema(json.loads(json.dumps(sent)))


@pytest.mark.parametrize("takes_length_limits", [True, False])
async def test_a_models_profile_decides_whether_lengths_are_sent(*, takes_length_limits: bool):
    client = AsyncMock()
    client.chat.completions.create.side_effect = TimeoutError
    profile = ModelProfile(takes_length_limits=takes_length_limits)
    schema_model = made(Annotated[str, Field(max_length=3)])

    await attempt_completion(
        client, CompletionRequest(prompt="Grade", model="m", schema_model=schema_model, profile=profile)
    )

    sent = client.chat.completions.create.call_args.kwargs["response_format"]
    assert ("maxLength" in json.dumps(sent)) is takes_length_limits


def test_a_server_is_not_taken_to_hold_lengths_unless_its_profile_says_so():
    assert ModelProfile().takes_length_limits is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Annotated[date, Field(ge=date(2026, 1, 1))], Annotated[date, Field(ge=date(2026, 2, 1))]),
        (Annotated[Decimal, Field(max_digits=3)], Annotated[Decimal, Field(max_digits=4)]),
        (dict[Annotated[int, Field(ge=1)], str], dict[Annotated[int, Field(ge=2)], str]),
        (dict[int, str], dict[str, str]),
        (datetime, NaiveDatetime),
        (Annotated[timedelta, Field(le=timedelta(1))], Annotated[timedelta, Field(le=timedelta(2))]),
    ],
)
def test_a_bound_that_json_schema_cannot_say_changes_the_fingerprint(one: Any, other: Any):
    assert fingerprint(made(one)) != fingerprint(made(other))
