"""Any model that our linter passes is taken by the stand-in's own checker, and its answers come back unchanged.

What the schema refuses, by the reading of another library, is never a success.
"""

from __future__ import annotations

import json
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators
from pydantic import BaseModel, Field, ValidationError, create_model

from ops.standin.answers import plan_answers
from ops.standin.draw import Draw
from ops.standin.schema_rules import SchemaRefusal, check_schema
from workers.contract.schemas import exam_errors, rubric_assessment
from workers.contract.schemas.error_report import ErrorReport
from workers.contract.schemas.feedback import Feedback
from workers.contract.schemes.catalogue import load_catalogues
from workers.contract.schemes.rubric import parse_rubric, rubric_entries
from workers.contract.strict.labels import safe_ids
from workers.contract.strict.schema import decode, strict_schema, violations

SHARED = Path(__file__).parents[3].parent / "shared"


@dataclass(frozen=True)
class Shape:
    """A type, and values of it as pairs: as the model writes them, and as they travel."""

    annotation: Any
    pairs: st.SearchStrategy[tuple[Any, Any]]


def plain(annotation: Any, values: st.SearchStrategy[Any]) -> Shape:
    return Shape(annotation, values.map(lambda value: (value, value)))


NAMES = st.from_regex(r"\A[a-z][a-z0-9]{0,5}\Z") | st.text(alphabet='ab "\n\\', min_size=1, max_size=3)
KEYS = st.text(max_size=4)
LEAVES = st.sampled_from(
    [
        plain(str, st.text(max_size=5)),
        plain(int, st.integers(-(2**53), 2**53)),
        plain(float, st.floats(allow_nan=False, allow_infinity=False)),
        plain(bool, st.booleans()),
        plain(Literal["a", "b"], st.sampled_from(["a", "b"])),
        plain(Literal[1, "one"], st.sampled_from([1, "one"])),
        plain(Literal[0, 1, False, True], st.sampled_from([0, 1, False, True])),
        plain(Annotated[int, Field(ge=-3, lt=4)], st.integers(-3, 3)),
        plain(Annotated[float, Field(gt=0, le=1)], st.floats(0, 1, exclude_min=True)),
        plain(Annotated[str, Field(pattern="^a+$")], st.sampled_from(["a", "aa"])),
        Shape(Literal['say "a"', "say 'a'"], st.sampled_from([('say "a"', "say 'a' (2)"), ("say 'a'", "say 'a'")])),
        plain(None, st.none()),
    ]
)
REFUSED = st.sampled_from([plain(annotation, st.none()) for annotation in (Any, dict, tuple[int, str], list[Any])])


def listed(shape: Shape) -> Shape:
    pairs = st.lists(shape.pairs, max_size=3).map(lambda items: tuple(map(list, zip(*items, strict=True))) or ([], []))
    return Shape(list[shape.annotation], pairs)  # type: ignore[name-defined]


def mapped(shape: Shape) -> Shape:
    def travel(items: dict[str, tuple[Any, Any]]) -> tuple[Any, Any]:
        written = {key: pair[0] for key, pair in items.items()}
        return written, [{"key": key, "value": pair[1]} for key, pair in items.items()]

    return Shape(dict[str, shape.annotation], st.dictionaries(KEYS, shape.pairs, max_size=3).map(travel))  # type: ignore[name-defined]


def optional(shape: Shape) -> Shape:
    return Shape(Optional[shape.annotation], st.one_of(st.just((None, None)), shape.pairs))  # noqa: UP045 - made at run time


def modelled(fields: dict[str, Shape]) -> Shape:
    # Written for pydantic as a plain dict, so that no model class has to be dumped.
    ids = safe_ids(fields)
    model = create_model(
        "Made",
        **{f"field_{n}": (shape.annotation, Field(alias=name)) for n, (name, shape) in enumerate(fields.items())},  # type: ignore[call-overload]
    )

    def split(values: dict[str, tuple[Any, Any]]) -> tuple[Any, Any]:
        return {name: pair[0] for name, pair in values.items()}, {ids[name]: pair[1] for name, pair in values.items()}

    return Shape(model, st.fixed_dictionaries({name: shape.pairs for name, shape in fields.items()}).map(split))


def models(leaves: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    shapes = st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(listed),
            inner.map(mapped),
            inner.map(optional),
            st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(modelled),
        ),
        max_leaves=6,
    )
    return st.dictionaries(NAMES, shapes, max_size=4).map(modelled)


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(shape=models(st.one_of(LEAVES, REFUSED)))
def test_what_our_linter_passes_the_stand_in_takes(shape: Shape):
    model: type[BaseModel] = shape.annotation

    if not violations(model):
        check_schema(strict_schema(model))


@QUICK
@given(data=st.data(), shape=models(LEAVES))
def test_an_answer_comes_back_as_what_it_was(data: st.DataObject, shape: Shape):
    model: type[BaseModel] = shape.annotation
    written, travelling = data.draw(shape.pairs)

    assert decode(model, json.dumps(travelling)) == model.model_validate_json(json.dumps(written))


JSON = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False), KEYS),
        st.sampled_from(["1", "true", "nan", "a", 1.0, 85.0, "key", "value"]),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=3,
)


def places(value: Any) -> list[list[Any]]:
    """Every way from the top of a JSON value to a part of it."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [[], *([step, *further] for step, part in parts for further in places(part))]


@st.composite
def spoiled(draw: st.DrawFn, answer: Any) -> Any:
    """The answer with one part replaced, left out or added."""
    way = draw(st.sampled_from(places(answer)))
    if not way:
        return draw(JSON)
    copy = json.loads(json.dumps(answer))
    holder = copy
    for step in way[:-1]:
        holder = holder[step]
    change = draw(st.sampled_from(["replace", "remove", "add"]))
    if change == "remove":
        del holder[way[-1]]
    elif change == "add" and isinstance(holder, dict):
        holder[draw(KEYS)] = draw(JSON)
    else:
        holder[way[-1]] = draw(JSON)
    return copy


ORACLE = validators.extend(Draft202012Validator, {"multipleOf": lambda *_: ()})
"""Without multiples: the other library divides binary fractions, and 0.07 is no multiple of 0.01 to it."""


def judged_alike(model: type[BaseModel], answer: Any) -> None:
    """What jsonschema refuses is refused; what it takes is only refused for what no schema can say."""
    raw = json.dumps(answer)
    fits = ORACLE(strict_schema(model)).is_valid(json.loads(raw))
    faults = faults_of(model, raw)

    # Of formats the other library checks only those that need no further library.
    assert fits == (not faults) or (fits and faults <= {"repeated_key", "format", "multiple_of"})


def faults_of(model: type[BaseModel], raw: str) -> set[str]:
    try:
        decode(model, raw)
    except ValidationError as error:
        return {found["type"] for found in error.errors()}
    return set()


@QUICK
@given(data=st.data(), shape=models(LEAVES))
def test_an_answer_that_the_wire_schema_refuses_is_never_a_success(data: st.DataObject, shape: Shape):
    _written, travelling = data.draw(shape.pairs)

    judged_alike(shape.annotation, data.draw(spoiled(travelling)))


def drawn(model: type[BaseModel], seed: int) -> Any:
    return plan_answers(json.loads(json.dumps(strict_schema(model))))(Draw(bytes([seed])))


SEEDS = st.integers(0, 255)


@QUICK
@given(shape=models(st.one_of(LEAVES, REFUSED)), seed=SEEDS)
def test_what_the_linter_accepts_an_answer_made_from_the_schema_decodes(shape: Shape, seed: int):
    if not violations(shape.annotation):
        judged_alike(shape.annotation, drawn(shape.annotation, seed))


def fixed_models() -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = [Feedback, ErrorReport]
    if SHARED.exists():
        data = SHARED / "data"
        rubrics = [*rubric_entries(data / "cpcc_rubrics.json").values()]
        rubrics += rubric_entries(SHARED / "cases" / "rubric_quotes.json").values()
        found += [rubric_assessment.build(parse_rubric(entry).context()) for entry in rubrics]
        catalogues = load_catalogues(data / "cpcc_error_definitions.json")
        found += [exam_errors.build(catalogue.context()) for catalogue in catalogues]
        cases = runpy.run_path(str(SHARED / "cases" / "schema_models.py"), run_name="schema_models").values()
        shared = [case for case in cases if isinstance(case, type) and issubclass(case, BaseModel)]
        found += [case for case in shared if case is not BaseModel and not violations(case)]
    return found


@pytest.mark.parametrize("model", fixed_models(), ids=lambda model: model.__name__)
@settings(QUICK, max_examples=15)
@given(data=st.data(), seed=SEEDS)
def test_the_built_in_and_shared_models_take_their_answers_and_no_others(
    model: type[BaseModel], data: st.DataObject, seed: int
):
    answer = drawn(model, seed)
    assert faults_of(model, json.dumps(answer)) <= {"repeated_key"}
    judged_alike(model, data.draw(spoiled(answer)))


ODD = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["string", "object", "#", "#/$defs/a", "("])
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("type", "properties", "required", "items", "anyOf", "enum", "const", "$ref", "$defs", "pattern"),
                    *("format", "minimum", "minItems", "additionalProperties", "description", "a"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
ODD_PARTS = st.fixed_dictionaries(
    {"type": st.just("object"), "additionalProperties": st.just(False)},  # noqa: FBT003 - JSON Schema's own word
    optional={"properties": ODD, "required": ODD, "$defs": ODD},
)


@settings(QUICK, max_examples=300)
@given(schema=ODD_PARTS)
def test_the_linter_sees_whatever_the_stand_in_refuses_and_never_fails(schema: dict[str, Any]):
    found = violations(schema)

    try:
        check_schema(schema)
    except SchemaRefusal:
        assert found
