"""What a person should look at before a grade counts: a closed list of flags, stored with the outcome.

Part of the contract: standard library only. A flag never changes a grade by itself, and its text holds nothing that a
student or a model wrote, so that lists and logs may show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from workers.contract.outcome import FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class FlagKind(StrEnum):
    """Why an outcome wants a look. Closed and stable: names stored today are read for years."""

    EVIDENCE_NOT_FOUND = "evidence_not_found"
    CANNOT_ASSESS = "cannot_assess"
    INJECTION_SUSPECTED = "injection_suspected"
    IDENTITY_IN_PROMPT = "identity_in_prompt"
    PARTS_MISSING = "parts_missing"
    OFF_TASK = "off_task"

    @property
    def advice(self) -> str:
        """One sentence for the person who reads the flag: what to do about it."""
        return _ADVICE[self]


_ADVICE: Mapping[FlagKind, str] = {
    FlagKind.EVIDENCE_NOT_FOUND: "A quotation is not in the submission; compare it with the work.",
    FlagKind.CANNOT_ASSESS: "The model could not judge a criterion, which has no points; read its reason and decide.",
    FlagKind.INJECTION_SUSPECTED: "A passage of the work seems to address the grader; read it, then the grade.",
    FlagKind.IDENTITY_IN_PROMPT: "The prompt named a student; remove the name, or use --identity replace.",
    FlagKind.PARTS_MISSING: "A part of the submission did not reach the model; look at the original.",
    FlagKind.OFF_TASK: "The work is empty, unreadable or for another assignment; ask for the right file.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag of an outcome. `message` is ours and safe to show: it quotes neither work nor answer."""

    kind: FlagKind
    path: str = ""
    """Where: a field of the result (`items[2].evidence`) or a place in the work (`line 12, characters 4-60`)."""
    message: str = ""

    def as_json(self) -> dict[str, str]:
        """As result lines and the spool show it."""
        return {"kind": str(self.kind), "path": self.path, "message": self.message}

    @classmethod
    def from_json(cls, content: Mapping[str, str]) -> Flag:
        """Read what `as_json` wrote; `ValueError` or `KeyError` for what this version does not know."""
        return cls(kind=FlagKind(content["kind"]), path=content["path"], message=content["message"])


UNFOUNDED = "Its quotations are not in the work, which --evidence strict refuses: read it; retry with --evidence flag."
"""What to do about an `invalid_output` that fits its schema and is not founded on the work."""


def failure_advice(kind: FailureKind, flags: Iterable[Flag]) -> str:
    """One sentence on what to do about a failure with these flags."""
    return UNFOUNDED if is_unfounded(kind, flags) else kind.advice


def is_unfounded(kind: FailureKind | None, flags: Iterable[Flag]) -> bool:
    """True where strict evidence refused the answer: any other answer of that kind is not looked at for quotations."""
    return kind is FailureKind.INVALID_OUTPUT and any(flag.kind is FlagKind.EVIDENCE_NOT_FOUND for flag in flags)
