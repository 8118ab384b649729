"""Limits that cannot travel in a schema, put into words for the model.

Part of the contract: stdlib and pydantic only. What only Pydantic checks is a paid failure whenever the model does not
guess it; so each limit that is left off the wire is written into the description of its value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.json_schema import JsonSchemaValue

IN_WORDS = "gradequeue:in-words"
"""Where the generator leaves sentences about limits that JSON Schema has no keyword for; it never travels."""
_NAIVE_DATE_TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$"
_NAIVE_TIME = "^[0-9]{2}:[0-9]{2}:[0-9]{2}$"
_ORDER = {"ge": "Not below {}.", "gt": "Above {}.", "le": "Not above {}.", "lt": "Below {}."}
_WHOLE_NUMBER = "^-?[0-9]+$"
_NUMBER = "^-?[0-9]+(\\.[0-9]+)?$"


class SchemaGenerator(GenerateJsonSchema):
    """Pydantic's generator, with the bounds that it drops of dates, Decimals and the keys of a dict."""

    # A default that JSON cannot write is no fault here: defaults never travel.
    ignored_warning_kinds = {"non-serializable-default"}  # noqa: RUF012 - the parent's own declaration

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:
        """Ask for a number: as free text a Decimal could be anything, and a number holds its bounds."""
        choices = super().decimal_schema(schema)
        number = next((each for each in choices.get("anyOf", ()) if each.get("type") == "number"), choices)
        return _with_words({**_digits_as_bounds(schema), **number}, list(_digits(schema)))

    def date_schema(self, schema: Any) -> JsonSchemaValue:
        """Keep the bounds, in words."""
        return _with_words(super().date_schema(schema), list(_bounds(schema)))

    def time_schema(self, schema: Any) -> JsonSchemaValue:
        """Keep the bounds, in words; the format `time` has an offset, so a naive time is a pattern."""
        return _with_zone(super().time_schema(schema), schema, _NAIVE_TIME)

    def datetime_schema(self, schema: Any) -> JsonSchemaValue:
        """Keep the bounds, in words; the format `date-time` has an offset, so a naive one is a pattern."""
        return _with_zone(super().datetime_schema(schema), schema, _NAIVE_DATE_TIME)

    def timedelta_schema(self, schema: Any) -> JsonSchemaValue:
        """Keep the bounds, in words."""
        return _with_words(super().timedelta_schema(schema), list(_bounds(schema)))

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        """Keep what the keys must be: JSON knows text alone, and Pydantic reads numbers and booleans from it."""
        made = super().dict_schema(schema)
        keys = schema.get("keys_schema", {})
        if written := _KEYS.get(keys.get("type")):
            made["propertyNames"] = _with_words({"type": "string", **written}, list(_bounds(keys)))
        return made


_KEYS: Mapping[str, dict[str, object]] = {
    "int": {"pattern": _WHOLE_NUMBER},
    "float": {"pattern": _NUMBER},
    "decimal": {"pattern": _NUMBER},
    "bool": {"enum": ["true", "false"]},
}


def in_words(source: Mapping[str, object], left_out: Mapping[str, object]) -> list[str]:
    """Say every limit of a node that does not travel: its own sentences, and the keywords in `left_out`."""
    own = source.get(IN_WORDS)
    sentences = [str(each) for each in own] if isinstance(own, list) else []
    sentences += _lengths(left_out)
    for keyword, words in _WORDS.items():
        if keyword in left_out:
            sentences.append(words.format(left_out[keyword]))
    if source.get("uniqueItems") is True:
        sentences.append("Each item once.")
    return sentences


_WORDS: Mapping[str, str] = {
    "pattern": "Must match the regular expression {}",
    "format": "Format: {}.",
    "minimum": "Not below {}.",
    "exclusiveMinimum": "Above {}.",
    "maximum": "Not above {}.",
    "exclusiveMaximum": "Below {}.",
    "multipleOf": "A multiple of {}.",
}


def described(node: dict[str, object], sentences: list[str]) -> dict[str, object]:
    """Add sentences to a node's description; a reference may have no siblings, so it is wrapped."""
    if not sentences:
        return node
    if "$ref" in node:
        node = {"anyOf": [node]}
    given = str(node.get("description", "")).rstrip()
    if given and given[-1] not in ".!?:;":
        given += "."
    node["description"] = " ".join([given, *sentences]).strip()
    return node


def _lengths(limits: Mapping[str, object]) -> list[str]:
    least, most = limits.get("minLength"), limits.get("maxLength")
    if least == most and least is not None:
        return [f"Exactly {_characters(least)}."]
    if least is not None and most is not None and least:
        return [f"{least} to {_characters(most)}."]
    if most is not None:
        return [f"At most {_characters(most)}."]
    return [f"At least {_characters(least)}."] if least else []


def _characters(count: object) -> str:
    return f"{count} character{'' if count == 1 else 's'}"


def _digits_as_bounds(schema: Mapping[str, Any]) -> JsonSchemaValue:
    """Write digits as bounds of a number: servers that hold those give no answer that fails for its digits."""
    places, digits = schema.get("decimal_places"), schema.get("max_digits")
    if places is None:
        return {}
    bounds: JsonSchemaValue = {"multipleOf": float(f"1e-{places}") if places else 1}
    if digits is not None:
        if not {"le", "lt"} & schema.keys():
            bounds["exclusiveMaximum"] = 10 ** (digits - places)
        if not {"ge", "gt"} & schema.keys():
            bounds["exclusiveMinimum"] = -(10 ** (digits - places))
    return bounds


def _digits(schema: Mapping[str, Any]) -> Iterator[str]:
    if (digits := schema.get("max_digits")) is not None:
        yield f"At most {digits} digits."
    if (places := schema.get("decimal_places")) is not None:
        yield f"At most {places} of them after the decimal point." if digits else f"At most {places} decimal places."
    # As a float the factor may be inexact: 0.1 is no multiple of a tenth to every engine.
    if (factor := schema.get("multiple_of")) is not None:
        yield f"A multiple of {factor}."


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, words in _ORDER.items():
        if (bound := schema.get(name)) is not None:
            yield words.format(bound.isoformat() if hasattr(bound, "isoformat") else bound)
    if (now := schema.get("now_op")) is not None:
        yield f"In the {now}."


def _with_zone(made: JsonSchemaValue, schema: Mapping[str, Any], naive: str) -> JsonSchemaValue:
    sentences = list(_bounds(schema))
    if schema.get("tz_constraint") == "naive":
        made = {"type": "string", "pattern": naive}
        sentences.append("Without a time zone.")
    return _with_words(made, sentences)


def _with_words(made: JsonSchemaValue, sentences: list[str]) -> JsonSchemaValue:
    return {**made, IN_WORDS: sentences} if sentences else made
