"""One thing to grade, as it is in the input."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.inputs.text import refuse_half_characters
from workers.contract.errors import InvalidInput
from workers.contract.job import MAX_ITEM_ID_LENGTH, MAX_PROMPT_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workers.contract.pictures import Picture

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLimits:
    """What one row or one submission may weigh; memory is bounded by these, not by the input's size."""

    max_row_bytes: int = 8 * MAX_PROMPT_BYTES
    """JSON may spend six bytes on one byte of the prompt (\\u0041), and a row has other columns."""
    max_submission_bytes: int = MAX_PROMPT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class InputItem:
    """A row or a submission. `fields` holds every column, the id among them; `where` is its place."""

    id: str
    fields: Mapping[str, object] = field(repr=False)
    where: str
    has_own_columns: bool = False
    """Whether another item of the same input may have other columns, as in JSON lines."""
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)
    """What a course system says of the student beside the work; no placeholder names it, no prompt holds it."""
    not_read: tuple[str, ...] = ()
    """`file: reason` for each file that gave no text; the prompt names them, and the outcome is flagged."""
    with_pictures: InputItem | None = field(default=None, repr=False)
    """The same work for a model that sees: pictures in the place of files that gave no text."""
    pictures: Mapping[str, Picture] = field(default_factory=dict, repr=False)
    """Sign in the fields -> the picture in its place."""
    left_out: str = ""
    """Why there is nothing to grade; the item becomes a row of the batch with this reason, and costs nothing."""

    @property
    def depends_on_sight(self) -> bool:
        """Whether only a model that sees pictures finds something to grade here."""
        return bool(self.left_out) and self.with_pictures is not None and not self.with_pictures.left_out


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """How an input is to be read, as a person says it."""

    layout: str = ""
    """A course system's name, with `:ASSIGNMENT` where a download holds several; recognised when empty."""
    is_strict: bool = True
    """Refuse an input with a file that cannot be read, instead of naming that file and grading the rest."""
    id_column: str = ""
    """Of a table: the column that names the students; guessed when empty."""
    roster: Path | None = None
    """CSV that joins e-mail, number and section."""


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
