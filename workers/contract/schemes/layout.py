"""How a prompt is laid out: the instructor's part, the same for every job of a batch, then the student's part.

    instructions      the rubric or catalogue, the template's words, assignment, solution and notes, the fence's rule
    the student's     every field that the template brings in, each under its name between the fence's lines

Part of the contract: stdlib only. The instructor's part is trusted, comes first and is what providers cache; nothing
of a student is ever part of it. Prompts of earlier releases are one text (see `fence.text_below_the_section`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.contract.schemes.fence import label_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workers.contract.schemes.fence import Fence

GIVEN_TITLES: Mapping[str, str] = {
    "assignment": "Assignment",
    "solution": "Reference solution",
    "notes": "Notes for the grader",
}
"""What an instructor may give beside the template, by the name that a template may call it."""


def reference(name: str) -> str:
    """How the instructions speak of a part of the student's: `[code]`."""
    return f"[{label_of(name)}]"


def instructions_text(
    *, fence: Fence, section: str = "", words: str = "", given: Mapping[str, str] | None = None
) -> str:
    """The instructor's part. `given` holds texts by the names of `GIVEN_TITLES` that have no place in the template."""
    chapters = [f"# {GIVEN_TITLES[name]}\n\n{text}" for name, text in (given or {}).items() if text.strip()]
    rule = f"# What was handed in\n\n{fence.rule_of_parts}"
    return "\n\n".join(part.strip("\n") for part in (section, words, *chapters, rule) if part.strip())


def students_part(parts: Iterable[tuple[str, str]], fence: Fence) -> str:
    """Each part between its lines; `InvalidInput` when one holds the fence's mark."""
    return "\n".join(fence.around(name, text) for name, text in parts)
