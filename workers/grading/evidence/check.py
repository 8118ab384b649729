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

_BLOCK = re.compile(
    r"^<<< (?P<label>[^\n]*) (?P<mark>[0-9a-f]{32})\n(?P<work>.*?)\n>>> (?P=label) (?P=mark)$", re.DOTALL | re.MULTILINE
)
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
    """What stands in the fenced blocks of a prompt, in order."""
    return [block["work"] for block in _BLOCK.finditer(prompt)]


def with_works(prompt: str, changed: Callable[[str], str]) -> str:
    """The prompt with another text in each of its fenced blocks."""

    def block(found: re.Match[str]) -> str:
        start, end = found.start("work") - found.start(), found.end("work") - found.start()
        return f"{found[0][:start]}{changed(found['work'])}{found[0][end:]}"

    return _BLOCK.sub(block, prompt)


def works_in(prompt: str) -> list[str]:
    """What the student handed in: the fenced blocks of a prompt, or all of one that has none."""
    return fenced_works(prompt) or [prompt]


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
