"""Which fields of a schema are decimals: JSON holds them as text, so `10.00` looks like a label."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, get_args, get_origin

from pydantic import BaseModel, RootModel

if TYPE_CHECKING:
    from collections.abc import Iterator


def decimal_fields(model: type[BaseModel]) -> frozenset[str]:
    """Dotted paths of every decimal, through models, lists, unions and optional fields; entries of lists have no name.

    Values of dictionaries with free keys are left out: the schema does not know their paths.
    """
    return frozenset(_paths(model, "", ()))


def _paths(annotation: object, path: str, above: tuple[object, ...]) -> Iterator[str]:
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Decimal):
        yield path or "result"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in above:  # a model that holds itself has endless paths; one level of it is shown
            yield from _model_paths(annotation, path, (*above, annotation))
    elif origin is Annotated:
        yield from _paths(get_args(annotation)[0], path, above)
    elif not (isinstance(origin, type) and issubclass(origin, Mapping)):
        for part in get_args(annotation):
            yield from _paths(part, path, above)


def _model_paths(model: type[BaseModel], path: str, above: tuple[object, ...]) -> Iterator[str]:
    is_root = issubclass(model, RootModel)
    computed = {name: each.return_type for name, each in model.model_computed_fields.items()}
    declared = {name: each.annotation for name, each in model.model_fields.items()}
    for name, annotation in {**declared, **computed}.items():
        below = path if is_root else f"{path}.{name}" if path else name
        yield from _paths(annotation, below, above)
