"""An outcome with what belongs to it as JSON, and back: for the spool, and for an answer that is kept for later."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import RootModel

from workers.contract.flag import Flag
from workers.contract.outcome import Failure, FailureKind, Success
from workers.store.fitting import result_json
from workers.store.ledger import JobEnding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.contract.outcome import Outcome

PARTS_OF_AN_ENDING = ("ending", "outcome", "flags")
"""Keys of `ending_as_json`."""


class StoredAnswer(RootModel[object]):
    """An answer that was validated by its schema before it was written."""


def ending_as_json(ending: JobEnding) -> dict[str, object]:
    """Ready for JSON."""
    written: dict[str, object] = {
        "ending": {name: getattr(ending, name) for name in ending.__slots__ if name not in {"outcome", "flags"}},
        "outcome": _outcome_as_json(ending.outcome),
    }
    if ending.flags:
        written["flags"] = [flag.as_json() for flag in ending.flags]
    return written


def ending_from_json(content: Mapping[str, Any]) -> JobEnding:
    """Read what `ending_as_json` wrote; raises `KeyError`, `TypeError` or `ValueError` for what this version cannot."""
    flags = tuple(map(Flag.from_json, content.get("flags", ())))
    return JobEnding(**content["ending"], outcome=_outcome_from_json(content["outcome"]), flags=flags)


def _outcome_as_json(outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Success):
        return {"result": json.loads(result_json(outcome))}
    return {"failure": asdict(outcome)}


def _outcome_from_json(outcome: dict[str, Any]) -> Outcome:
    if "result" in outcome:
        return Success(StoredAnswer(outcome["result"]))
    failure = outcome["failure"]
    return Failure(
        **failure
        | {"kind": FailureKind(failure["kind"]), "validation_errors": tuple(failure.get("validation_errors") or ())}
    )
