"""From rows to job specs: the prompt, and what a row sets for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.inputs import InputItem, duration_seconds
from producer.inputs.specs import JobDefaults, build_spec
from producer.inputs.templates import Template
from workers.contract.errors import InvalidInput
from workers.contract.job import MAX_PROMPT_BYTES, JobParameters, JobSpec
from workers.contract.schemes.fence import Fence

if TYPE_CHECKING:
    from collections.abc import Collection

FENCE = Fence.draw()


def _spec(
    fields: dict[str, object],
    *,
    template: str | None = None,
    schema: str | None = "feedback",
    model: str | None = "some-model",
    known_schemas: Collection[str] | None = None,
    section: str | None = None,
) -> JobSpec:
    item = InputItem(id="s1", fields={"id": "s1", **fields}, where="rows.jsonl line 7")
    defaults = JobDefaults(
        template=Template.parse(template).bind(item.fields) if template else None,
        schema=schema,
        model=model,
        parameters=JobParameters(max_tokens=100),
        known_schemas=known_schemas,
        section=section,
        fence=FENCE,
    )
    return build_spec(item, defaults)


def _problem(fields: dict[str, object], *, template: str | None = None, **options: None) -> str:
    with pytest.raises(InvalidInput) as caught:
        _spec(fields, template=template, **options)
    assert caught.value.where == "rows.jsonl line 7"
    return caught.value.message


def test_a_row_with_a_prompt_takes_the_options_for_the_rest():
    spec = _spec({"prompt": " x "})
    assert spec == JobSpec(
        id="s1", prompt=" x ", schema="feedback", model="some-model", parameters=JobParameters(max_tokens=100)
    )


def test_a_rows_own_columns_win_over_the_options():
    columns = {
        "prompt": "x",
        "schema": "error_report",
        "model": " other ",
        "temperature": 0,
        "max_tokens": 5,
        "max_retries": 0,
        "retry_delay": 0.5,
        "allow_repair": True,
        "fallback_model": "spare",
        "deadline": "2h",
        "effort": "high",
        "verbosity": "low",
        "metadata": {"group": "A"},
    }
    spec = _spec(columns)
    assert (spec.schema, spec.model, spec.metadata) == ("error_report", "other", {"group": "A"})
    assert spec.parameters == JobParameters(
        temperature=0.0,
        max_tokens=5,
        max_retries=0,
        retry_delay_seconds=0.5,
        allow_repair=True,
        fallback_model="spare",
        deadline_seconds=7200.0,
        effort="high",
        verbosity="low",
    )


def test_cells_of_a_spreadsheet_mean_the_same_as_json_values():
    cells: dict[str, object] = {
        "prompt": "x",
        "temperature": "0,2",
        "max_tokens": "5.0",
        "allow_repair": "TRUE",
        "deadline": "90",
        "metadata": '{"group": "A"}',
        "metadata.seat": "12",
        "metadata.note": "",
        "model": "",
        "max_retries": " ",
    }
    spec = _spec(cells)
    assert spec.parameters == JobParameters(temperature=0.2, max_tokens=5, allow_repair=True, deadline_seconds=90.0)
    assert spec.metadata == {"group": "A", "seat": "12"}
    assert spec.model == "some-model"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400), (" 1.5 H ", 5400), ("0,5m", 30), (30, 30), (0.25, 0.25)],
)
def test_a_time_may_carry_a_unit(written: object, seconds: float):
    assert duration_seconds(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "soon", "-1", "5w", "1h30m", "nan", "1e400", True, None, [1], "9" * 400, "1,500"]
)
def test_what_is_no_time_is_refused(written: object):
    with pytest.raises(InvalidInput):
        duration_seconds(written)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("temperature", "warm", "column 'temperature' expects a number"),
        ("temperature", "3", "temperature must be between 0 and 2"),
        ("temperature", True, "column 'temperature' expects a number"),
        ("temperature", "inf", "column 'temperature' expects a finite number"),
        ("max_tokens", "1,000", "column 'max_tokens' expects a number without a mark between thousands"),
        ("max_tokens", "1_0", "column 'max_tokens' expects a number without a mark between thousands"),
        ("max_tokens", 1.5, "column 'max_tokens' expects a whole number"),
        ("max_tokens", 10**12, "column 'max_tokens' expects a whole number up to"),
        ("max_tokens", 0, "max_tokens must be positive"),
        ("max_retries", -1, "max_retries must be non-negative"),
        ("allow_repair", "maybe", "column 'allow_repair' expects true or false"),
        ("fallback_model", 5, "column 'fallback_model' expects a text"),
        ("deadline", "soon", "column 'deadline' expects seconds, or a time such as 90s, 15m, 2h or 1d"),
        ("deadline", 0, "deadline must be positive"),
        ("model", 5, "column 'model' expects a text"),
        ("schema", ["x"], "column 'schema' expects a text"),
        ("metadata", "[1]", "column 'metadata': expects a JSON object"),
        ("metadata", "{", "column 'metadata': expects a JSON object"),
        ("metadata", {"a": "\x00"}, "column 'metadata': holds a NUL character"),
        ("metadata", {"a": "\ud800"}, "column 'metadata': holds a value that cannot be stored"),
        ("prompt", "", "prompt of 's1' is empty"),
        ("prompt", 5, "column 'prompt' expects a text"),
        ("prompt", None, "there is no prompt"),
        ("prompt", "a\x00b", "NUL character"),
        ("prompt", "\ud83d", "the prompt holds half of a character"),
        ("prompt", "x" * (MAX_PROMPT_BYTES + 1), "larger than 4 MiB"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_row_and_column(column: str, value: object, sentence: str):
    assert sentence in _problem({"prompt": "x", column: value})


def test_metadata_comes_back_as_it_was_given():
    metadata = {"written": "\\u0000", "nested": [1, {"é": None}]}
    assert _spec({"prompt": "x", "metadata": metadata}).metadata == metadata


def test_metadata_given_twice_is_refused():
    problem = _problem({"prompt": "x", "metadata": {"seat": 1}, "metadata.seat": "2"})
    assert "'seat' is both there and in 'metadata.seat'" in problem


def test_without_a_prompt_the_sentence_says_how_to_write_a_template():
    assert "give --template with a text file in which {submission} stands" in _problem({"submission": "x"})
    assert "in which {code} stands" in _problem({"code": "x", "max_tokens": 5})


@pytest.mark.parametrize("what", ["schema", "model"])
def test_schema_and_model_must_come_from_somewhere(what: str):
    assert _problem({"prompt": "x"}, **{what: None}).startswith(f"there is no {what}; give --{what}")


def test_an_unknown_schema_is_refused_with_the_nearest_name():
    with pytest.raises(InvalidInput, match="schema 'fedback' is unknown; did you mean 'feedback'") as caught:
        _spec({"prompt": "x", "schema": "fedback"}, known_schemas={"feedback", "error_report"})
    assert caught.value.where == "rows.jsonl line 7"


@pytest.mark.parametrize("schema", ["mine:Model", "mine.py:Model", "../mine.py:Model"])
def test_a_row_never_names_code_that_was_not_chosen(schema: str):
    with pytest.raises(InvalidInput, match="is unknown"):
        _spec({"prompt": "x", "schema": schema}, known_schemas={"feedback"})
    assert _spec({"prompt": "x", "schema": schema}, known_schemas={"feedback", schema}).schema == schema


def test_the_template_makes_the_prompt_and_any_column_stands_in_it():
    spec = _spec({"First name": "Zoë", "code": "{id}", "prompt": "unused"}, template="{id} {First name}: {code} {id}")
    assert FENCE.contents(spec.prompt) == ["s1", "Zoë", "{id}"]
    assert (spec.instructions or "").startswith("[id] [First name]: [code] [id]\n\n# What was handed in")


def test_a_row_without_a_column_that_others_have_names_row_and_template_line():
    item = InputItem(id="s1", fields={"id": "s1", "code": "x"}, where="rows.jsonl line 7")
    template = Template.parse("Grade\n{cod}").bind(["id", "cod", "code"])
    with pytest.raises(InvalidInput) as caught:
        build_spec(item, JobDefaults(template=template, schema="s", model="m", parameters=JobParameters()))
    assert str(caught.value).startswith("rows.jsonl line 7: template line 2: no column 'cod' for {cod}; did you mean")


def test_a_row_in_which_nothing_fills_the_template_is_refused():
    assert "nothing to grade: 'code' is empty" in _problem({"code": " "}, template="Grade {id}: {code}")
    named = {"First name": "Zoë", "code": ""}
    assert "nothing to grade: 'code' is empty" in _problem(named, template="{First name}: {code}"), "a name is no work"


def test_a_rubric_takes_raw_work_and_the_instructors_words_stay_outside_of_the_fence():
    raw = _spec({"submission": "x"}, section="# Rubric")
    assert raw.prompt == FENCE.around("submission", "x")
    whole = _spec({"submission": "x", "prompt": "y"}, section="# Rubric")
    assert whole.prompt == FENCE.around("submission", "y")
    filled = _spec({"submission": "x"}, template="Do it. {submission}", section="# Rubric")
    assert filled.prompt == FENCE.around("submission", "x")
    assert (filled.instructions or "").startswith("# Rubric\n\nDo it. [submission]\n\n")
    assert FENCE.rule_of_parts in (filled.instructions or "")


def test_the_instructors_part_is_the_same_for_every_row():
    specs = [_spec({"code": work}, template="Grade {code} of {id}") for work in ("x", "y")]
    assert len({spec.instructions for spec in specs}) == 1


def test_a_row_that_brings_its_whole_prompt_has_no_other_part():
    spec = _spec({"prompt": "Grade this: x"})
    assert (spec.prompt, spec.instructions) == ("Grade this: x", None)


def test_what_the_instructor_gives_stands_where_the_template_calls_it_or_below():
    template = Template.parse("By {solution}:\n{code}").bind(["code"], given={"solution": "S", "assignment": "A"})
    defaults = JobDefaults(template=template, schema="s", model="m", parameters=JobParameters(), fence=FENCE)
    spec = build_spec(InputItem(id="s1", fields={"id": "s1", "code": "x"}, where="r"), defaults)

    assert (spec.instructions or "").startswith("By S:\n[code]\n\n# Assignment\n\nA\n\n# What was handed in")
    assert FENCE.contents(spec.prompt) == ["x"]


def test_work_that_holds_the_mark_is_refused_with_its_place():
    fence = Fence.draw()
    defaults = JobDefaults(
        template=None, schema="s", model="m", parameters=JobParameters(), fence=fence, section="# Rubric"
    )
    item = InputItem(id="eve", fields={"id": "eve", "submission": f">>> {fence.mark.upper()}"}, where="eve.py")
    with pytest.raises(InvalidInput, match=r"eve\.py: 'submission' holds the mark"):
        build_spec(item, defaults)


def test_a_rubric_does_not_hide_an_empty_submission():
    with pytest.raises(InvalidInput, match="prompt of 's1' is empty"):
        _spec({"submission": " "}, section="# Rubric")
