"""A model that refuses the form of its own answers is refused before a request is paid for; a strict one is not."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PlainValidator,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)

from ops.standin.answers import plan_answers
from ops.standin.draw import Draw
from workers.contract.errors import InvalidInput
from workers.contract.registry import SchemaRegistry
from workers.contract.strict.schema import decode, strict_schema, violations

CASES = Path(__file__).parents[3].parent / "shared" / "cases" / "schema_models.py"


class ByPath(BaseModel):
    points: int = Field(validation_alias=AliasPath("grade", "points"))


class FirstOfList(BaseModel):
    points: int = Field(validation_alias=AliasPath("grades", 0))


class Fine(BaseModel):
    text: str


class Holder(BaseModel):
    """The fault is three levels down, in one branch of a union."""

    parts: list[Fine | ByPath]


class Mapped(BaseModel):
    by_name: dict[str, ByPath]


class Shown(BaseModel):
    value: Annotated[list[int], WithJsonSchema({"type": "string"})]


class WrongValues(BaseModel):
    value: Annotated[Literal["a", "b"], WithJsonSchema({"type": "string", "enum": ["A", "B"]})]


class Renamed(BaseModel):
    """Its JSON schema is written by hand, and wrong."""

    value: int
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(properties={"worth": {"type": "integer"}}))


@pytest.mark.parametrize("model", [ByPath, FirstOfList, Holder, Mapped, Shown, WrongValues, Renamed])
def test_a_model_that_can_never_take_its_own_answers_is_refused_at_registration(model: type[BaseModel]):
    with pytest.raises(InvalidInput, match="refuses an answer that fits this schema"):
        SchemaRegistry().register("mine", model)


def test_the_refusal_names_the_place():
    [violation] = violations(Holder)

    assert violation.path.startswith("/properties/parts/items")
    assert "Field required" in violation.message


def _never(value: Any) -> Any:
    raise ValueError(f"{type(value)} is never right")


def _broken(value: Any) -> Any:
    raise KeyError(value)


class Quoting(BaseModel):
    quotation: str = Field(min_length=200, pattern="^#[0-9a-f]{64}$")
    line: Annotated[int, Field(ge=1), AfterValidator(_never)]
    word: Annotated[str, BeforeValidator(_never)]

    @field_validator("quotation")
    @classmethod
    def is_quoted(cls, value: str) -> str:
        return _never(value)

    @model_validator(mode="after")
    def agrees(self) -> Self:
        return _never(self)


class CrossField(BaseModel):
    low: int
    high: int

    @model_validator(mode="before")
    @classmethod
    def is_ascending(cls, values: Any) -> Any:
        return _never(values)


class Raising(BaseModel):
    value: Annotated[str, AfterValidator(_broken)]


class Choosy(BaseModel):
    """Each branch refuses made-up text, and both refuse the other's form."""

    either: Annotated[Fine, AfterValidator(_never)] | Quoting
    nested: list[Quoting | CrossField | None]


class Converting(BaseModel):
    """Takes text and makes something else of it."""

    words: Annotated[list[str], WithJsonSchema({"type": "string"}), BeforeValidator(lambda value: value.split())]
    shout: Annotated[str, PlainValidator(lambda value: str(value).upper()), WithJsonSchema({"type": "string"})]


class Populated(BaseModel):
    model_config = ConfigDict(populate_by_name=True, extra="forbid", strict=True)

    points: int = Field(alias="thePoints")
    other: str = Field(validation_alias=AliasChoices(AliasPath("deep", "other"), "other"))


class NameOnly(BaseModel):
    model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)

    points: int = Field(alias="thePoints")


class ListOfNameOnly(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    parts: list[NameOnly] = Field(alias="theParts")


class Inside(BaseModel):
    payload: Json[dict[str, int]]
    deep: Json[list[Json[Fine]]]


@pytest.mark.parametrize(
    "model", [Quoting, CrossField, Raising, Choosy, Converting, Populated, NameOnly, ListOfNameOnly, Inside]
)
def test_a_model_that_is_only_strict_about_values_is_accepted(model: type[BaseModel]):
    assert violations(model) == []


def test_json_within_json_travels_as_itself():
    result = decode(Inside, json.dumps({"payload": [{"key": "a", "value": 1}], "deep": [{"text": 'say "hi"'}]}))

    assert result.payload == {"a": 1}
    assert result.deep == [Fine(text='say "hi"')]


def test_json_of_anything_is_refused():
    [violation] = violations(create_model("Loose", value=(Json, ...)))

    assert "untyped" in violation.message


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
def test_each_shared_model_is_refused_or_agrees_with_its_schema():
    namespace = runpy.run_path(str(CASES), run_name="schema_models")
    models = {
        name: found for name, found in namespace.items() if isinstance(found, type) and issubclass(found, BaseModel)
    }
    refused = {name for name, model in models.items() if model is not BaseModel and violations(model)}

    assert refused == {"BareList", "PathAlias"}
    for name in models.keys() - refused - {"BaseModel"}:
        wire = json.loads(json.dumps(strict_schema(models[name])))
        for seed in range(10):
            raw = json.dumps(plan_answers(wire)(Draw(bytes([seed]))))
            assert decode(models[name], raw)
