"""Answers satisfy the schema they were planned from, whatever schema strict mode takes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.standin.answers import plan_answers
from ops.standin.draw import Draw
from ops.standin.schema_rules import FORMATS, SchemaRefusal, check_schema
from tests.unit.standin.schema_checker import problems


def strict_object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def answer_to(schema: dict[str, Any], seed: bytes = b"seed", **scatter: Any) -> Any:
    check_schema(schema)
    return plan_answers(schema)(Draw(seed, **scatter))


names = st.text("abcdefgh", min_size=1, max_size=5)
bounds = st.integers(-1000, 1000) | st.floats(-1000, 1000).map(lambda bound: round(bound, 2))
numbers = st.fixed_dictionaries(
    {"type": st.sampled_from(["number", "integer"])},
    optional={
        "minimum": bounds,
        "maximum": bounds,
        "exclusiveMinimum": bounds,
        "exclusiveMaximum": bounds,
        "multipleOf": st.sampled_from([0.1, 0.25, 0.5, 1, 1.5, 3, 7]),
    },
)
PATTERNS = [
    "^[A-F][+-]?$",
    r"^\d{2}-\w+$",
    "(pass|fail)",
    "^[^a-z]{1,3}$",
    "^a*b+?c{2,}.$",
    r"\bword\b",
    r"^[\d\s_-]+$",
    "^$",
    "(?i)^yes$",
]
strings = st.just({"type": "string"}) | st.one_of(
    st.sampled_from(sorted(FORMATS)).map(lambda name: {"type": "string", "format": name}),
    st.sampled_from(PATTERNS).map(lambda pattern: {"type": "string", "pattern": pattern}),
)
primitives = st.text(max_size=4) | st.integers(-9, 9) | st.booleans() | st.none()
listed = st.lists(primitives, min_size=1, max_size=4, unique_by=repr).map(lambda values: {"enum": values})
constants = primitives.map(lambda value: {"const": value})
plain = st.sampled_from(["boolean", "null", "string"]).map(lambda name: {"type": name})
nullable = st.sampled_from(["string", "integer", "boolean"]).map(lambda name: {"type": [name, "null"]})
references = st.sampled_from(["#", "#/$defs/one", "#/$defs/two"]).map(lambda target: {"$ref": target})
leaves = numbers | strings | listed | constants | plain | nullable | references


def nested(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(names, parts, max_size=3).map(lambda properties: strict_object(**properties))
    sizes = {"minItems": st.integers(0, 3), "maxItems": st.integers(0, 4)}
    arrays = st.fixed_dictionaries({"type": st.just("array"), "items": parts}, optional=sizes)
    unions = st.lists(parts, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    return objects | arrays | unions


parts = st.recursive(leaves, nested, max_leaves=8)
schemas = st.builds(
    lambda properties, one, two: strict_object(**properties) | {"$defs": {"one": one, "two": two}},
    st.dictionaries(names, parts, min_size=1, max_size=4),
    parts,
    parts,
)


@given(schemas, st.binary(min_size=1, max_size=4), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=150, deadline=None)
def test_every_schema_it_accepts_gets_an_answer_that_satisfies_it(schema: dict[str, Any], seed: bytes, scatter: float):
    try:
        answer = answer_to(schema, seed, scatter_seed=b"call", scatter=scatter)
    except SchemaRefusal:
        return
    assert problems(json.loads(json.dumps(answer)), schema) == []


@given(numbers, st.binary(min_size=1, max_size=2))
@settings(max_examples=150, deadline=None)
def test_numbers_keep_every_bound_and_grid(number: dict[str, Any], seed: bytes):
    schema = strict_object(score=number)
    try:
        answer = answer_to(schema, seed)
    except SchemaRefusal:
        return
    assert problems(answer, schema) == []


@pytest.mark.parametrize("pattern", PATTERNS)
def test_strings_match_their_pattern(pattern: str):
    schema = strict_object(text={"type": "string", "pattern": pattern})
    assert [problems(answer_to(schema, bytes([seed])), schema) for seed in range(20)] == [[]] * 20


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_strings_have_their_format(name: str):
    schema = strict_object(text={"type": "string", "format": name})
    assert [problems(answer_to(schema, bytes([seed])), schema) for seed in range(20)] == [[]] * 20


def test_the_checker_of_these_tests_finds_faults():
    schema = strict_object(score={"type": "integer", "minimum": 0}, tags={"type": "array", "items": {"enum": ["a"]}})
    assert problems({"score": 1, "tags": ["a"]}, schema) == []
    assert problems({"score": -1, "tags": ["b"]}, schema) == ["$.score: -1 breaks minimum 0", "$.tags[]: not listed"]
    assert problems({"score": True, "tags": []}, schema) == ["$.score: is {'boolean'}, not ['integer']"]
    assert problems({"score": 1}, schema) != []


def test_the_same_seed_gives_the_same_answer_and_another_seed_another():
    schema = strict_object(score={"type": "integer", "minimum": 0, "maximum": 10**9})
    assert answer_to(schema, b"one") == answer_to(schema, b"one")
    assert answer_to(schema, b"one") != answer_to(schema, b"two")


def test_scatter_moves_judgements_but_never_the_structure():
    item = strict_object(score={"type": "number", "minimum": 0, "maximum": 100}, grade={"enum": list("ABCDEF")})
    schema = strict_object(items={"type": "array", "items": item, "minItems": 1, "maxItems": 3})
    answers = [answer_to(schema, b"prompt", scatter_seed=bytes([call]), scatter=0.4) for call in range(12)]
    assert len({len(answer["items"]) for answer in answers}) == 1
    assert len({answer["items"][0]["score"] for answer in answers}) > 1
    assert len({answer["items"][0]["grade"] for answer in answers}) > 1


def test_scatter_keeps_near_the_prompts_own_number():
    schema = strict_object(score={"type": "number", "minimum": 0, "maximum": 100})
    own = answer_to(schema, b"prompt")["score"]
    scattered = [answer_to(schema, b"prompt", scatter_seed=bytes([call]), scatter=0.1)["score"] for call in range(50)]
    assert max(abs(score - own) for score in scattered) <= 5.1


def test_text_names_the_stand_in_and_is_short():
    text = answer_to(strict_object(feedback={"type": "string"}))["feedback"]
    assert "stand-in" in text.lower()
    assert len(text) <= 60


def test_recursion_ends_even_through_wide_arrays():
    tree = strict_object(children={"type": "array", "items": {"$ref": "#/$defs/tree"}}, next={"$ref": "#/$defs/maybe"})
    maybe = {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}
    schema = strict_object(tree={"$ref": "#/$defs/tree"}) | {"$defs": {"tree": tree, "maybe": maybe}}
    for seed in range(20):
        answer = answer_to(schema, bytes([seed]))
        assert problems(answer, schema) == []
        assert len(json.dumps(answer)) < 20_000


def test_a_recursive_answer_stays_small_however_many_branches_it_has():
    branches = {f"b{number}": {"type": "array", "items": {"$ref": "#"}} for number in range(40)}
    sizes = [json.dumps(answer_to(strict_object(**branches), bytes([seed]))).count('b0"') for seed in range(20)]
    assert 100 < max(sizes) < 600


def test_a_narrow_range_is_kept_although_scores_have_one_decimal():
    schema = strict_object(score={"type": "number", "minimum": 0.31, "maximum": 0.34})
    assert [problems(answer_to(schema, bytes([seed])), schema) for seed in range(20)] == [[]] * 20


@pytest.mark.parametrize(
    "part",
    [
        {"$ref": "#"},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"type": "number", "exclusiveMinimum": 1, "maximum": 1},
        {"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 1},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "string", "pattern": "a^"},
        {"type": "integer", "enum": [1, 2], "minimum": 3},
    ],
)
def test_a_schema_that_nothing_satisfies_is_refused(part: Any):
    with pytest.raises(SchemaRefusal, match="no value can satisfy"):
        answer_to(strict_object(part=part))
