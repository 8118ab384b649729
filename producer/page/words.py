"""The page's words for what the system names: failures, flags, kinds of result, states. Knows no Streamlit.

An instructor knows no option of the command line and no field of a schema, so no advice here names one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.terminal.words import counted
from workers.contract.decision import DecisionKind, ReleaseRule, ReviewState
from workers.contract.flag import FlagKind, is_unfounded
from workers.contract.headline import TOTALS
from workers.contract.outcome import FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workers.contract.flag import Flag
    from workers.contract.registry import SchemaRegistry

FAILURES: Mapping[FailureKind, tuple[str, str]] = {
    FailureKind.REFUSED: (
        "declined by the model",
        "The model declined this text. Read the submission, change the instructions, or grade it by hand.",
    ),
    FailureKind.TRUNCATED: (
        "answer cut off",
        "The answer was cut off. Allow a longer answer under More options, or shorten the instructions.",
    ),
    FailureKind.CONTENT_FILTERED: (
        "withheld by the provider",
        "The provider's filter withheld the answer. Grade this submission by hand.",
    ),
    FailureKind.INVALID_OUTPUT: (
        "unusable answer",
        "The answer was not in the form that was asked for. Run it again, or allow one correction under More options.",
    ),
    FailureKind.CONTEXT_TOO_LONG: (
        "too long for the model",
        "The submission with its instructions is too long for this model. Shorten it, or take a larger model.",
    ),
    FailureKind.REJECTED_REQUEST: (
        "request not accepted",
        "The provider did not accept the request. Check the name of the model and the options.",
    ),
    FailureKind.UNKNOWN_SCHEMA: (
        "worker out of date",
        "The worker does not know this kind of result. Ask who runs the workers to update them, then run it again.",
    ),
    FailureKind.PROVIDER_UNAVAILABLE: ("provider did not answer", "The provider kept failing. Run these again later."),
    FailureKind.DEADLINE_EXCEEDED: (
        "too late",
        "No answer came before the deadline. Run it again with a later deadline.",
    ),
    FailureKind.CANCELLED: ("cancelled", "It was cancelled. Run it again if it is wanted after all."),
    FailureKind.NOT_GRADED: (
        "nothing to grade",
        "There was nothing that a model could read. Grade it by hand, or ask for a readable file.",
    ),
    FailureKind.INTERNAL: (
        "fault in the program",
        "The grading program itself failed here. Tell the operator of the workers, then run it again.",
    ),
}
FLAGS: Mapping[FlagKind, tuple[str, str]] = {
    FlagKind.EVIDENCE_NOT_FOUND: (
        "quotation not found",
        "The grade quotes something that is not in the submission. Compare it with the work.",
    ),
    FlagKind.CANNOT_ASSESS: (
        "could not judge",
        "The model could not judge a criterion, which has no points. Read its reason and decide.",
    ),
    FlagKind.INJECTION_SUSPECTED: (
        "addresses the grader",
        "A passage of the work seems to address the grader. Read it, then the grade.",
    ),
    FlagKind.IDENTITY_IN_PROMPT: (
        "names a student",
        "The work names a student, and the name was sent with it. Remove it before the next grading.",
    ),
    FlagKind.PARTS_MISSING: (
        "graded in part",
        "A part of the submission did not reach the model. Look at the original.",
    ),
    FlagKind.OFF_TASK: (
        "other or empty work",
        "The work is empty, unreadable or for another assignment. Ask for the right file.",
    ),
}
STATES: Mapping[ReviewState, str] = {
    ReviewState.UNDECIDED: "not reviewed",
    ReviewState.APPROVED: "approved",
    ReviewState.OVERRIDDEN: "corrected",
    ReviewState.ON_HOLD: "on hold",
}
ACTIONS: Mapping[str, str] = {
    DecisionKind.APPROVE: "approved",
    DecisionKind.OVERRIDE: "corrected",
    DecisionKind.HOLD: "put on hold",
    DecisionKind.UNDO: "took the last decision back",
    DecisionKind.RELEASE: "released",
    DecisionKind.RECALL: "took back from the student",
    "download": "downloaded",
    "release_rule": "changed the rule for releases",
}
RULES: Mapping[ReleaseRule, str] = {
    ReleaseRule.ALL: "Every grade has been reviewed",
    ReleaseRule.FLAGGED: "Flagged grades and one in ten of the others have been reviewed",
    ReleaseRule.NONE: "Nothing needs to be reviewed",
}
_RESULTS = {
    "rubric_assessment": "Grade by a rubric",
    "exam_errors": "Errors from a list of yours, with their deductions",
    "error_report": "Errors with deductions",
    "feedback": "Feedback with a score",
}
MOST_PLACES = 5
"""Places named in one sentence about a flag; the rest is counted."""
DEDUCTIONS = frozenset({"exam_errors", "error_report"})
"""Kinds of result whose number says what is deducted."""


UNFOUNDED = (
    "The answer quotes what is not in the submission. Read the submission, or run it again and let such answers count, "
    "with a flag: under With other parameters."
)


def failure_title(kind: FailureKind) -> str:
    """In a few words; a kind of a later release by its own name."""
    return FAILURES[kind][0] if kind in FAILURES else kind.replace("_", " ")


def failure_advice(kind: FailureKind, flags: Iterable[Flag] = ()) -> str:
    """What an instructor can do about it."""
    if is_unfounded(kind, flags):
        return UNFOUNDED
    return FAILURES[kind][1] if kind in FAILURES else kind.advice


def flag_title(kind: FlagKind) -> str:
    """In a few words; a kind of a later release by its own name."""
    return FLAGS[kind][0] if kind in FLAGS else kind.replace("_", " ")


def flag_advice(kind: FlagKind) -> str:
    """What an instructor can do about it."""
    return FLAGS[kind][1] if kind in FLAGS else kind.advice


def flag_lines(flags: Iterable[Flag], criteria: Mapping[str, str]) -> list[str]:
    """A sentence for each kind of flag, with every place that carries it; `criteria`: names by id."""
    places: dict[FlagKind, dict[str, None]] = {}
    for flag in flags:
        places.setdefault(flag.kind, {}).setdefault(_place(flag.path, criteria))
    return [_flag_line(kind, [place for place in found if place]) for kind, found in places.items()]


def _flag_line(kind: FlagKind, places: list[str]) -> str:
    title = flag_title(kind)
    more = f"; and {len(places) - MOST_PLACES} more" if len(places) > MOST_PLACES else ""
    where = f" ({'; '.join(places[:MOST_PLACES])}{more})" if places else ""
    return f"{title[0].upper()}{title[1:]}{where}: {flag_advice(kind)}"


def _place(path: str, criteria: Mapping[str, str]) -> str:
    """A field of the result in words, such as `Style` or `Style, error 3`; a place in the work as it is."""
    if " " in path or not path:
        return path
    steps = [step for step in path.split(".") if step not in {"criteria", "evidence"}]
    said = []
    for step in steps:
        name, _, number = step.removesuffix("]").partition("[")
        title = criteria.get(name, name.replace("_", " "))
        said.append(f"{title.removesuffix('s')} {int(number) + 1}" if number.isdigit() else title)
    return ", ".join(said)


def state_title(state: ReviewState, *, is_by_hand: bool) -> str:
    """In a few words; a grade that replaces none of the model's is no correction."""
    return "graded by hand" if is_by_hand and state is ReviewState.OVERRIDDEN else STATES[state]


def added(new: int, existing: int) -> str:
    """What pressing the button did; work that the batch holds already is neither graded nor paid for again."""
    if not existing:
        return f"{counted(new, 'submission')} added."
    if not new:
        return (
            f"Nothing was added: the batch has {counted(existing, 'submission')} like these. Nothing is paid for again."
        )
    others = "was in the batch already and costs" if existing == 1 else "were in the batch already and cost"
    return f"{counted(new, 'submission')} added; {existing:,} {others} nothing again."


def result_kind(schema: str, registry: SchemaRegistry) -> str:
    """The kind of result by what it holds."""
    if schema in _RESULTS:
        return _RESULTS[schema]
    name = schema.rpartition(":")[2].replace("_", " ")
    described = registry.describe(schema) if schema in registry.names() else ""
    return f"{name}: {described}" if described else name


def points(number: float | None, *, schema: str | None = None, most: float | None = None) -> str:
    """`7.5 of 10`, `12 deducted`, `7.5`; empty without a number."""
    if number is None:
        return ""
    if schema in DEDUCTIONS:
        return f"{number:g} deducted"
    return f"{number:g} of {most:g}" if most is not None else f"{number:g}"


def without_passage(provenance: Mapping[str, Any] | None) -> str | None:
    """What the second grading, without the passage that addresses the grader, came to; None where there was none."""
    found = (provenance or {}).get("counterfactual")
    if found is None:
        return None
    if "failed" in found:
        return "Graded again without that passage: the model gave no grade."
    total = next((found["fields"][name] for name in TOTALS if name in found["fields"]), None)
    if total is not None:
        with_it, without_it = (
            "no total" if each is None else f"{each:g}" for each in (total["graded"], total["without"])
        )
        return f"Graded again without that passage: {without_it} instead of {with_it}."
    same = "other parts of the result differ" if found["differences"] else "nothing differs"
    return f"Graded again without that passage: the same grade, {same}."
