"""The same work without the passages that seem to address the grader: what it is asked with, and what it shows. Pure.

The first answer is the grade, whatever comes of this: the difference is shown, and a person decides.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from workers.contract.evidence import LINE_NUMBERS, quotations
from workers.contract.flag import FlagKind
from workers.contract.outcome import Failure, Success
from workers.grading.evidence.check import fenced_works, with_works
from workers.grading.tripwire.scan import suspicious_spans

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from workers.contract.flag import Flag
    from workers.contract.outcome import Outcome
    from workers.store.claims import ClaimedJob
    from workers.store.ledger import JobEnding

FINDING = "counterfactual"
"""Key of what it showed in an outcome's provenance."""
MOST_DIFFERENCES = 20
_MOST_TOLD = 2
_PLACE = re.compile(r"\[\d+\]")
_LINES = re.compile(rf"(?:^|\.){LINE_NUMBERS}(?: \(number\)|\[\d+\])$")
_Leaf = bool | int | float | str | None


def prompt_without_passages(job: ClaimedJob) -> str | None:
    """The job's prompt without them; None where nothing would be left of the work, or nothing is found."""
    if fenced_works(job.prompt):
        cut = with_works(job.prompt, _without_passages)
        is_empty = not any(work.strip() for work in fenced_works(cut))
    else:
        cut = _without_passages(job.prompt)
        is_empty = not cut.strip()
    return None if is_empty or cut == job.prompt else cut


def _without_passages(work: str) -> str:
    pieces, position = [], 0
    for span in suspicious_spans(work):
        pieces.append(work[position : span.start])
        position = span.end
    return "".join([*pieces, work[position:]])


def concluded(kept: JobEnding, outcome: Outcome, *, claim: int) -> JobEnding:
    """The first answer as the round's outcome, with what the second one shows."""
    if isinstance(outcome, Failure) or not isinstance(kept.outcome, Success):
        kind = str(outcome.kind) if isinstance(outcome, Failure) else None
        finding: dict[str, object] = {"failed": kind}
        told = f"without it the model gave no grade ({kind})"
    else:
        quoted = _quoted(kept.outcome.value) | _quoted(outcome.value)
        graded, without = (json.loads(each.as_json_text()) for each in (kept.outcome, outcome))
        found = differences(graded, without, quoted=quoted)
        finding = {"differences": len(found), "fields": dict(list(found.items())[:MOST_DIFFERENCES])}
        told = _told(found)
    return replace(
        kept,
        claim=claim,
        flags=tuple(_with_difference(flag, told) for flag in kept.flags),
        provenance={**(kept.provenance or {}), FINDING: finding},
    )


def differences(graded: object, without: object, *, quoted: Collection[str] = ()) -> dict[str, dict[str, _Leaf]]:
    """Fields that differ by path, those of the whole first; sentences, which never come twice, are not compared.

    Nor are quotations and their lines: `quoted` holds the paths of those, as `_any_place` writes them.
    """
    before, after = dict(_leaves(graded)), dict(_leaves(without))
    paths = sorted((path for path in {*before, *after} if not _is_quoted(path, quoted)), key=_rank)
    return {
        path: {"graded": before.get(path), "without": after.get(path)}
        for path in paths
        if before.get(path) != after.get(path)
    }


def _quoted(answer: object) -> set[str]:
    """Where the answer quotes; nothing where it was read back without its schema."""
    return {_any_place(quotation.path) for quotation in quotations(answer)}


def _any_place(path: str) -> str:
    """`errors[3].evidence` as `errors[].evidence`."""
    return _PLACE.sub("[]", path)


def _is_quoted(path: str, quoted: Collection[str]) -> bool:
    return _any_place(path) in quoted or _LINES.search(path) is not None


def _rank(path: str) -> tuple[int, bool, str]:
    """What says most of a grade first."""
    return path.count(".") + path.count("["), not path.startswith("total"), path


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, _Leaf]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        yield f"{path} (number)", len(value)
        for number, part in enumerate(value):
            yield from _leaves(part, f"{path}[{number}]")
    elif value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and _is_label(value)):
        yield path, value


def _is_label(text: str) -> bool:
    """A level, a band or an id, not a sentence."""
    return len(text.split()) == 1


def _told(found: Mapping[str, Mapping[str, _Leaf]]) -> str:
    numbers = [
        f"{path} {each['without']:g} instead of {each['graded']:g}"
        for path, each in found.items()
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in each.values())
    ]
    if numbers:
        return f"without it {', '.join(numbers[:_MOST_TOLD])}"
    return f"without it {len(found)} fields differ" if found else "without it the grade is the same"


def _with_difference(flag: Flag, told: str) -> Flag:
    return replace(flag, message=f"{flag.message}; {told}") if flag.kind is FlagKind.INJECTION_SUSPECTED else flag
