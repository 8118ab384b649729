"""Any model that our linter passes is taken by the stand-in's own checker, and its answers come back unchanged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Optional

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

from ops.standin.schema_rules import check_schema
from workers.contract.strict_schema import decode, strict_schema, violations


@dataclass(frozen=True)
class Shape:
    """A type, and values of it as pairs: as the model writes them, and as they travel."""

    annotation: Any
    pairs: st.SearchStrategy[tuple[Any, Any]]


def plain(annotation: Any, values: st.SearchStrategy[Any]) -> Shape:
    return Shape(annotation, values.map(lambda value: (value, value)))


NAMES = st.from_regex(r"\A[a-z][a-z0-9]{0,5}\Z")
KEYS = st.text(max_size=4)
LEAVES = st.sampled_from(
    [
        plain(str, st.text(max_size=5)),
        plain(int, st.integers(-(2**53), 2**53)),
        plain(float, st.floats(allow_nan=False, allow_infinity=False)),
        plain(bool, st.booleans()),
        plain(Literal["a", "b"], st.sampled_from(["a", "b"])),
        plain(Literal[1, "one"], st.sampled_from([1, "one"])),
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
    model = create_model("Made", **{name: (shape.annotation, ...) for name, shape in fields.items()})  # type: ignore[call-overload]

    def split(values: dict[str, tuple[Any, Any]]) -> tuple[Any, Any]:
        return {name: pair[0] for name, pair in values.items()}, {name: pair[1] for name, pair in values.items()}

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
