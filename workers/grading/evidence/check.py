"""What of an answer's evidence is not in the work, and line numbers put right. Pure but for those numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.contract.evidence import LINE_NUMBERS, quotations
from workers.contract.flag import Flag, FlagKind
from workers.grading.evidence.folding import Submission
from workers.grading.evidence.lookup import VERSION, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic import BaseModel

    from workers.contract.evidence import Quotation

_BEGIN = "<<< "
_FIRST_LINE = re.compile(r"<<< (?P<label>[^\n]*) (?P<mark>[0-9a-f]{32})\n")
NOT_FOUND = "the quotation is not in the submission"


@dataclass(frozen=True, slots=True)
class EvidenceCheck:
    """What a look at one answer found."""

    checked: int = 0
    not_found: tuple[str, ...] = ()
    """Paths of the quotations that are not in the work."""
    lines_corrected: int = 0
    version: int = field(default=VERSION)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """One for each quotation that is not there."""
        return tuple(Flag(kind=FlagKind.EVIDENCE_NOT_FOUND, path=path, message=NOT_FOUND) for path in self.not_found)

    def as_json(self) -> dict[str, int]:
        """For the outcome's provenance."""
        return {
            "version": self.version,
            "quotations": self.checked,
            "not_found": len(self.not_found),
            "lines_corrected": self.lines_corrected,
        }


def fenced_works(prompt: str) -> list[str]:
    """The contents of a prompt's fenced blocks, in order."""
    return [prompt[start:end] for start, end in _places(prompt)]


def with_works(prompt: str, changed: Callable[[str], str]) -> str:
    """The prompt with another text in each of its fenced blocks."""
    pieces, position = [], 0
    for start, end in _places(prompt):
        pieces += [prompt[position:start], changed(prompt[start:end])]
        position = end
    return "".join([*pieces, prompt[position:]])


def _places(prompt: str) -> Iterator[tuple[int, int]]:
    """Where the works begin and end. One pattern for a whole block would be tried at every character of every work."""
    position = prompt.find(_BEGIN)
    while position >= 0:
        is_line = position == 0 or prompt[position - 1] == "\n"
        found = _FIRST_LINE.match(prompt, position) if is_line else None
        end = -1 if found is None else _end(prompt, found.end(), f"\n>>> {found['label']} {found['mark']}")
        if found is not None and end >= 0:
            yield found.end(), end
        position = prompt.find(_BEGIN, max(position + 1, end))


def _end(prompt: str, start: int, last_line: str) -> int:
    """Where the line begins that ends the block, with the break before it; -1 where there is none."""
    end = prompt.find(last_line, start)
    while end >= 0 and prompt[end + len(last_line) : end + len(last_line) + 1] not in {"", "\n"}:
        end = prompt.find(last_line, end + 1)
    return end


def check_evidence(answer: BaseModel, works: Sequence[str]) -> EvidenceCheck:
    """Look every quotation up in these texts; wrong line numbers are replaced in the answer by the right ones."""
    found = list(_told(answer))
    if not found:
        return EvidenceCheck()
    submissions = [Submission(work) for work in works]
    missing: list[str] = []
    corrected = 0
    for quotation in found:
        places = [lines for each in submissions if (lines := lines_of(quotation.text, each)) is not None]
        if not places:
            missing.append(quotation.path)
        else:
            corrected += _correct_lines(quotation, set().union(*places))
    return EvidenceCheck(checked=len(found), not_found=tuple(missing), lines_corrected=corrected)


def _told(answer: BaseModel) -> Iterator[Quotation]:
    """An empty quotation claims nothing."""
    return (quotation for quotation in quotations(answer) if quotation.text.strip())


def _correct_lines(quotation: Quotation, lines: set[int]) -> bool:
    told = quotation.line_numbers
    if told is None or not lines or set(told) <= lines:
        return False
    nearest = min(lines, key=lambda line: (abs(line - told[0]), line))
    run = [nearest]
    while run[-1] + 1 in lines and len(run) < len(quotation.text.splitlines()):
        run.append(run[-1] + 1)
    if quotation.holder is not None:
        quotation.holder.__dict__[LINE_NUMBERS] = run  # validated values of the field's own type, frozen or not
    return True
