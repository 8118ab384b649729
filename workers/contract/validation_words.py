"""What is wrong with a field of a file, in its writer's words: pydantic's speak of Python's types, such as tuples.

Stdlib and pydantic only. Never quotes the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_SENTENCES = {
    "extra_forbidden": "unknown field; remove it or correct its name",
    "missing": "is missing",
    "list_type": 'must be a list; write it in square brackets, even with one entry: ["..."]',
    "string_type": "must be text; write it in quotes",
    "float_type": "must be a number, without quotes",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false, without quotes",
    "dict_type": "must hold named fields",
}
_SAME = {
    "tuple_type": "list_type",
    "set_type": "list_type",
    "frozen_set_type": "list_type",
    "float_parsing": "float_type",
    "int_parsing": "int_type",
    "bool_parsing": "bool_type",
    "model_type": "dict_type",
    "model_attributes_type": "dict_type",
}


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Dotted path of the first faulty field, empty for the whole, and a sentence about it with how many more there are.

    A validator of ours has written its own sentence, which stays.
    """
    faults = error.errors(include_url=False, include_context=True, include_input=False)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return ".".join(str(step) for step in faults[0]["loc"]), f"{_sentence(faults[0])}{more}"


def _sentence(fault: ErrorDetails) -> str:
    kind = fault["type"]
    sentence = _SENTENCES.get(_SAME.get(kind, kind))
    if sentence is not None:
        return sentence
    if kind == "too_short":
        least = fault["ctx"]["min_length"]
        return f"needs at least {least} {'entry' if least == 1 else 'entries'}"
    return fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
