"""One thing to grade, as it stands in the input."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.inputs.text import refuse_half_characters
from workers.contract.errors import InvalidInput
from workers.contract.job import MAX_ITEM_ID_LENGTH, MAX_PROMPT_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLimits:
    """What one row or one submission may weigh; memory is bounded by these, not by the input's size."""

    max_row_bytes: int = 8 * MAX_PROMPT_BYTES
    """JSON may spend six bytes on one byte of the prompt (\\u0041), and a row has other columns."""
    max_submission_bytes: int = MAX_PROMPT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class InputItem:
    """A row or a submission. `fields` holds every column, the id among them; `where` says where it stands."""

    id: str
    fields: Mapping[str, object] = field(repr=False)
    where: str


def item_id(value: object, *, where: str) -> str:
    """Check an id; a number becomes its text. `InvalidInput` when it cannot name a job."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidInput("the id must be a text or a number", where=where)
    text = str(value)
    if not text.strip():
        raise InvalidInput("the id is empty; give every row an id of its own", where=where)
    if len(text) > MAX_ITEM_ID_LENGTH:
        raise InvalidInput(f"the id is longer than {MAX_ITEM_ID_LENGTH} characters", where=where)
    if _CONTROL_CHARACTERS.search(text):
        raise InvalidInput("the id holds a line end, a tab or another control character", where=where)
    refuse_half_characters(text, what="the id", where=where)
    return text
