"""Which setting cures a request that the provider rejected for one of its parameters. Pure.

A closed list: a name that is not in it is shown by `classify` as an identifier, and a message's words never are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROFILE = "in the model's profile (a JSON file named by GRADEQUEUE_MODEL_PROFILES)"
_CURES: Mapping[str, str] = {
    "temperature": (
        "this model takes no --temperature of its own: leave it at the model's default (--temperature 1), "
        f"or set takes_temperature to false {_PROFILE}"
    ),
    "max_tokens": f"set token_parameter to max_completion_tokens {_PROFILE}; if it is the number, lower --max-tokens",
    "max_completion_tokens": f"set token_parameter to max_tokens {_PROFILE}; if it is the number, lower --max-tokens",
    "response_format": (
        "this model or server does not take this JSON schema: choose a model with structured outputs (--model), "
        "or a simpler schema (gradequeue schemas NAME shows it)"
    ),
    "reasoning_effort": f"set efforts to those that this model takes, or to [], {_PROFILE}",
    "verbosity": f"set takes_verbosity to false {_PROFILE}",
    "service_tier": f"set takes_service_tier to false {_PROFILE}",
    "model": "choose another model (--model)",
}
_NAMED_IN_WORDS = re.compile(
    r"(?:unsupported|unknown|unrecognized|invalid|extra|not (?:supported|permitted))"
    r"[^'\"`]{0,60}['\"`]([a-z_]{1,40})['\"`]",
    re.IGNORECASE,
)


def cure_of(param: str | None, message: str) -> str | None:
    """Say what to set, by the parameter that the error names, or else by its words; None for any other parameter."""
    if param:
        return _CURES.get(re.split(r"[.\[]", param, maxsplit=1)[0])
    named = _NAMED_IN_WORDS.search(message)
    return _CURES.get(named[1]) if named else None
