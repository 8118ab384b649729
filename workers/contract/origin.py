"""Where a batch came from: what its producer keeps with it, so that it can be found, regraded and joined again.

Part of the contract: standard library only. The store keeps it as JSON under the names of the fields; a field that is
not set is not written. What another program or another release wrote beside them is kept in `others`, unread.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTS = "parts"
"""The `prompt_layout` of this release."""
UPLOADED = "uploaded"
"""The `input` of a batch whose submissions came through the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOrigin:
    """What is kept with a new batch. It is written once; enqueueing more jobs into the batch changes nothing of it."""

    input: str | None = None
    """Absolute path of the file or folder, or `UPLOADED`."""
    schema: str | None = None
    """What all jobs were given; None when each row named its own. In a regrade, this and the next three are what it
    changed."""
    model: str | None = None
    scheme: str | None = None
    """SHA-256 of the rubric or catalogue, hex."""
    template: str | None = None
    """SHA-256 of the template's text, hex."""
    template_text: str | None = None
    """The template that the prompts were made with."""
    template_columns: tuple[str, ...] | None = None
    """The columns that the template brought in, without which its text cannot be read again."""
    effort: str | None = None
    verbosity: str | None = None
    """These two as the options gave them for all jobs."""
    provider: str | None = None
    encoding: str | None = None
    """Of the input's files, when it was given."""
    layout: str | None = None
    """The course system that the input is a download of, when it was given."""
    id_column: str | None = None
    """The column that named the students, when it was given."""
    assignment: str | None = None
    """Text of the assignment, where the instructor gave it for the whole batch; so are the next two."""
    solution: str | None = None
    notes: str | None = None
    prompt_layout: str | None = None
    """`PARTS` where the instructor's part of the prompts is separate; None: prompts of an earlier release, in one."""
    fence: str | None = None
    """The mark of the fence around the students' work (see `schemes.fence`)."""
    identity: str | None = None
    """`replace` where pseudonyms are sent for students' names (see `identity.IdentityRule`)."""
    names_key: str | None = None
    """Of the pseudonyms, random; None where they are made from the fence's mark."""
    roster: str | None = None
    """Absolute path of the class list, when one was given: a regrade searches for everybody on it."""
    twins: str | None = None
    """`off` or `near` (see `twins.TwinRule`); None: the same work is graded once."""
    regrade_of: str | None = None
    """Name of the batch that was regraded."""
    repeat_of: str | None = None
    """Name of the batch of which this grades a sample again, to measure its scatter; never official."""
    nightly: str | None = None
    """Name of the nightly entry that made the batch."""
    others: Mapping[str, object] = field(default_factory=dict)
    """Keys that this release does not know, and known ones whose value is of another type."""

    @property
    def pseudonym_key(self) -> str:
        """What pseudonyms are made from; empty in batches of whole prompts by an earlier release."""
        return self.names_key or self.fence or ""

    @property
    def given(self) -> dict[str, str]:
        """What the instructor gave for the whole batch, by name (see `schemes.layout`)."""
        named = {"assignment": self.assignment, "solution": self.solution, "notes": self.notes}
        return {name: text for name, text in named.items() if text is not None}

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> BatchOrigin:
        """Read what `as_json` or another program wrote; never raises."""
        known: dict[str, str] = {}
        others: dict[str, object] = {}
        for name, value in content.items():
            if name in _TEXTS and isinstance(value, str):
                known[name] = value
            elif name not in _NAMES or value is not None:
                others[name] = value
        columns = others.get("template_columns")
        if not (isinstance(columns, list) and all(isinstance(column, str) for column in columns)):
            return cls(others=others, **known)  # type: ignore[arg-type] # names of text fields alone
        del others["template_columns"]
        return cls(template_columns=tuple(columns), others=others, **known)

    def as_json(self) -> dict[str, object]:
        """Every field that is set, and the others, ready for a JSON column."""
        found = {name: getattr(self, name) for name in _NAMES if getattr(self, name) is not None}
        if self.template_columns is not None:
            found["template_columns"] = list(self.template_columns)
        return {**self.others, **found}


_NAMES = tuple(each.name for each in fields(BatchOrigin) if each.name != "others")
_TEXTS = frozenset(_NAMES) - {"template_columns"}
