"""One update as one line of JSON, and back. A line that a newer version wrote is never half understood."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from workers.contract.outcome import AttemptEnding, Usage
from workers.store.ending_json import PARTS_OF_AN_ENDING, ending_as_json, ending_from_json
from workers.store.job_update import JobUpdate
from workers.store.ledger import AttemptClosing

LINE_VERSION = 1
"""Rises when a line means something that an older reader would lose; lines without it are of version 1."""


def written_line(update: JobUpdate) -> bytes:
    """ASCII, so that no character of an answer is a line break or cannot be written."""
    line: dict[str, object] = {"version": LINE_VERSION}
    if update.closing is not None:
        closing = update.closing
        line["closing"] = {name: getattr(closing, name) for name in closing.__slots__ if name != "usage"}
        line["usage"] = asdict(closing.usage)
    if update.ending is not None:
        line |= ending_as_json(update.ending)
    if update.kept is not None:
        line["kept"] = ending_as_json(update.kept)
    return json.dumps(line, ensure_ascii=True, default=str).encode() + b"\n"


def read_line(line: bytes) -> JobUpdate | None:
    """None when it is torn, or holds what this version does not know."""
    try:
        fields = json.loads(line)
        return _from_json(fields) if fields.get("version", 1) <= LINE_VERSION else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _from_json(line: dict[str, Any]) -> JobUpdate:
    if unknown := line.keys() - {"version", "closing", "usage", "kept", *PARTS_OF_AN_ENDING}:
        raise ValueError(f"{len(unknown)} unknown fields")
    closing = None
    if "closing" in line:
        fields = line["closing"] | {"ending": AttemptEnding(line["closing"]["ending"])}
        closing = AttemptClosing(**fields, usage=Usage(**line["usage"]))
    ending = ending_from_json(line) if "ending" in line else None
    kept = ending_from_json(line["kept"]) if "kept" in line else None
    if closing is None and ending is None and kept is None:
        raise ValueError("the line holds nothing")
    return JobUpdate(closing=closing, ending=ending, kept=kept)
