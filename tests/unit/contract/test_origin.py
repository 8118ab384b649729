"""A batch's origin: written by one release, read by another."""

from __future__ import annotations

import dataclasses
import json

import pytest

from workers.contract.origin import BatchOrigin

FULL = BatchOrigin(
    input="/home/lee/week3", schema="feedback", model="m", scheme="0" * 64, template="1" * 64,
    template_text="{code}", template_columns=("code",), provider="api.openai.com", encoding="cp1252", fence="2" * 32,
    regrade_of="week2", repeat_of="week2", nightly="term", twins="near", identity="replace",
    effort="low", verbosity="high", layout="moodle", id_column="no",
    assignment="A", solution="S", notes="N", prompt_layout="parts", names_key="3" * 32, roster="/home/lee/class.csv",
)  # fmt: skip


def test_every_field_survives_json_under_its_own_name():
    written = json.loads(json.dumps(FULL.as_json()))

    assert BatchOrigin.from_json(written) == FULL
    assert written.keys() == {each.name for each in dataclasses.fields(FULL)} - {"others"}


def test_fields_that_are_not_set_are_not_written():
    assert BatchOrigin(model="m").as_json() == {"model": "m"}
    assert BatchOrigin.from_json({}) == BatchOrigin()


def test_an_older_row_with_nulls_is_read():
    row = {
        "input": "uploaded",
        "schema": None,
        "scheme": None,
        "model": "m",
        "template": None,
        "template_columns": None,
    }

    assert BatchOrigin.from_json(row) == BatchOrigin(input="uploaded", model="m")


def test_keys_of_another_program_or_a_newer_release_are_kept_as_they_are():
    row = {"course": {"term": 3}, "note": None, "model": "m"}
    origin = BatchOrigin.from_json(row)

    assert origin.others == {"course": {"term": 3}, "note": None}
    assert dataclasses.replace(origin, regrade_of="old").as_json() == {**row, "regrade_of": "old"}


@pytest.mark.parametrize("row", [{"model": 5}, {"template_columns": "code"}, {"template_columns": [1]}])
def test_a_known_key_with_a_value_of_another_type_is_kept_and_not_read(row: dict[str, object]):
    origin = BatchOrigin.from_json(row)

    assert (origin.model, origin.template_columns) == (None, None)
    assert origin.as_json() == row
