"""A schema is known by its name and told apart by its fingerprint; what strict mode cannot hold never gets in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, Field, create_model

from workers.contract.errors import InvalidInput
from workers.contract.registry import SchemaRegistry, UnknownSchema, builtin_registry, fingerprint
from workers.contract.schemas.feedback import Feedback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class FreeForm(BaseModel):
    first: dict[str, Any]
    second: tuple[int, str]


def by_criteria(context: Mapping[str, object]) -> type[BaseModel]:
    """Points per criterion of the given rubric."""
    criteria = context.get("criteria")
    if not isinstance(criteria, list):
        raise InvalidInput("a rubric has criteria")
    return create_model("ByCriteria", **dict.fromkeys(criteria, (int, ...)))


def test_the_built_in_schemas_are_there_and_described():
    registry = builtin_registry()

    assert {"feedback", "error_report"} <= set(registry.names())
    assert registry.resolve("feedback").model is Feedback
    assert registry.describe("feedback") == "Review of one submission."
    assert not registry.needs_context("feedback")


def test_the_same_schema_has_the_same_fingerprint_everywhere():
    assert builtin_registry().resolve("feedback") == builtin_registry().resolve("feedback")
    assert len(builtin_registry().resolve("feedback").fingerprint) == 64


def made(name: str = "Made", **constraints: Any) -> type[BaseModel]:
    return create_model(name, text=(Annotated[str, Field(**constraints)], ...))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (made(), made("Other")),
        (made(), made(description="more")),
        (made(max_length=3), made(max_length=4)),
        (made(pattern="^a"), made(pattern="^b")),
    ],
)
def test_whatever_changes_a_judgement_changes_the_fingerprint(one: type[BaseModel], other: type[BaseModel]):
    assert fingerprint(one) != fingerprint(other)


def test_a_context_is_part_of_the_fingerprint_whatever_the_order_of_its_keys():
    model = made()

    assert fingerprint(model, {"a": 1, "b": 2}) == fingerprint(model, {"b": 2, "a": 1})
    assert fingerprint(model, {"a": 1}) != fingerprint(model, {"a": 2})
    assert fingerprint(model, {}) != fingerprint(model)


@pytest.mark.parametrize("context", [{"a": {1, 2}}, {"a": float("nan")}])
def test_a_context_that_json_cannot_write_is_refused(context: dict[str, object]):
    with pytest.raises(InvalidInput, match="cannot be written as JSON"):
        fingerprint(made(), context)


def test_registration_refuses_what_strict_mode_cannot_hold_with_every_violation():
    registry = SchemaRegistry()

    with pytest.raises(InvalidInput) as caught:
        registry.register("free", FreeForm)

    assert "/properties/first" in str(caught.value)
    assert "/properties/second" in str(caught.value)
    assert registry.names() == ()


def test_a_name_is_not_given_twice_with_other_content():
    registry = SchemaRegistry()
    registry.register("made", made())

    assert registry.register("made", made()).name == "made"
    with pytest.raises(InvalidInput, match="registered already"):
        registry.register("made", made(max_length=3))
    with pytest.raises(InvalidInput, match="registered already"):
        registry.register_factory("made", by_criteria)
    with pytest.raises(InvalidInput, match="needs a name"):
        registry.register(" ", made())


def test_a_schema_that_needs_a_context_is_made_from_it():
    registry = SchemaRegistry()
    registry.register_factory("points", by_criteria)

    entry = registry.resolve("points", {"criteria": ["style", "tests"]})

    assert set(entry.model.model_fields) == {"style", "tests"}
    assert entry.fingerprint == registry.resolve("points", {"criteria": ["style", "tests"]}).fingerprint
    assert entry.fingerprint != registry.resolve("points", {"criteria": ["style"]}).fingerprint
    assert registry.needs_context("points")
    assert registry.describe("points") == "Points per criterion of the given rubric."


def test_a_context_that_is_missing_wrong_or_not_wanted_is_said():
    registry = SchemaRegistry()
    registry.register_factory("points", by_criteria)
    registry.register("made", made())

    with pytest.raises(InvalidInput, match="needs a context"):
        registry.resolve("points")
    with pytest.raises(InvalidInput, match="a rubric has criteria"):
        registry.resolve("points", {})
    with pytest.raises(InvalidInput, match="takes no context"):
        registry.resolve("made", {"criteria": []})


def test_an_unknown_name_names_those_that_are_known():
    with pytest.raises(UnknownSchema, match=r"'nope' is unknown.*error_report.*feedback.*module:Model"):
        builtin_registry().resolve("nope")


@pytest.fixture
def module_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_model_of_the_users_own_is_imported(module_folder: Path):
    (module_folder / "own_schemas.py").write_text(
        "from pydantic import BaseModel\nclass Outer:\n    class Grade(BaseModel):\n        points: int\n"
    )

    entry = builtin_registry().resolve("own_schemas:Outer.Grade")

    assert entry.name == "own_schemas:Outer.Grade"
    assert entry.model.__name__ == "Grade"
    del sys.modules["own_schemas"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("broken_a:Grade", "import no_such_module_at_all", "no module named 'no_such_module_at_all'"),
        ("broken_b:Grade", "1/0", "ZeroDivisionError"),
        ("broken_c:Grade", "def (", "SyntaxError"),
        ("broken_d:Grade", "raise SystemExit(3)", "SystemExit"),
        ("broken_e:Grade", "", "has no 'Grade'"),
        ("broken_f:Grade", "Grade = 3", "not a pydantic model"),
        ("broken_g:BaseModel", "from pydantic import BaseModel", "not a pydantic model"),
        (
            "broken_h:Grade",
            "from pydantic import BaseModel\nclass Grade(BaseModel):\n    free: dict",
            "/properties/free",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_one_clear_sentence(module_folder: Path, name: str, content: str, words: str):
    (module_folder / f"{name.partition(':')[0]}.py").write_text(content)

    with pytest.raises(InvalidInput) as caught:
        builtin_registry().resolve(name)

    assert words in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    sys.modules.pop(name.partition(":")[0], None)


@pytest.mark.parametrize("name", ["no_such_module_at_all:Grade", "../x:Grade", "os:", ":Grade", "a b:c"])
def test_a_name_that_leads_to_no_module_is_unknown(name: str):
    with pytest.raises(UnknownSchema):
        builtin_registry().resolve(name)
