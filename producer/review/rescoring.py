"""Points, levels and weights that changed since: what the grades of a batch become, without a question to the model.

The model's words stay; only what code computes from them is computed again, from the official result where there is
one. What the model was never asked, such as a new criterion, cannot be computed: the item is left out, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.review.by_hand import is_by_hand
from producer.review.corrections import Correction, corrected
from producer.review.difference import difference_of
from workers.contract.decision import CONTEXT_SOURCE, ReviewState
from workers.contract.errors import InvalidInput
from workers.contract.headline import POINTS_BY_HAND
from workers.contract.schema_files.source import content_digest
from workers.contract.schemes.scheme import CATALOGUE_SCHEMA, RUBRIC_SCHEMA, scheme_of_context

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pydantic import BaseModel

    from producer.review.difference import OfficialDifference
    from producer.review.recording import Decided
    from producer.review.review import Review, ReviewItem
    from workers.contract.decision import Official
    from workers.contract.registry import SchemaRegistry
    from workers.contract.schemes.scheme import GradingScheme
    from workers.store.results import ResultRow

AGAIN = "it has to be graded again"
"""What a reason ends with where new answers are needed."""
COMPUTED_AGAIN = "computed again by"
"""How the reason begins where a person gives none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescoring:
    """What a changed rubric or catalogue makes of the grades. Nothing is recorded yet, and no result is kept."""

    difference: OfficialDifference
    seen: Mapping[str, int]
    """Item whose grade can be computed -> the newest decision that the result follows from."""
    undecided: int
    """Of them, those that nobody had decided about."""
    left_out: Mapping[str, str]
    """Item -> why its grade cannot be computed."""
    scheme: GradingScheme
    """What they follow from."""
    notes: tuple[str, ...]
    """What an instructor should know: what of the change a computation cannot follow."""


def rescored(
    review: Review, scheme: GradingScheme, *, registry: SchemaRegistry, item_ids: Collection[str] | None = None
) -> Rescoring:
    """Compute every grade again by this scheme. `InvalidInput` where the batch was not graded by one of its kind."""
    old_context = review.context()
    scheme = _with_the_doubt_of(old_context, scheme)
    compute = _computing(scheme, registry)
    seen: dict[str, int] = {}
    left_out: dict[str, str] = {}
    has_any, undecided = False, 0

    def pairs() -> Iterator[tuple[ReviewItem, object]]:
        nonlocal has_any, undecided
        for item in review.items(item_ids):
            has_any = has_any or item.row.schema == scheme.schema
            found = compute(item.row, item.official)
            if isinstance(found, str):
                left_out[item.row.id] = found
                continue
            seen[item.row.id] = item.official.last_id
            undecided += item.official.state is ReviewState.UNDECIDED
            yield item, found

    difference = difference_of(pairs())
    if not has_any:
        raise InvalidInput(f"no grade of {review.batch} is by {_kind_of(scheme)}; {AGAIN}")
    return Rescoring(
        difference=difference,
        seen=seen,
        undecided=undecided,
        left_out=left_out,
        notes=tuple(_notes(old_context, scheme)),
        scheme=scheme,
    )


def record_rescoring(
    review: Review, found: Rescoring, *, registry: SchemaRegistry, by: str, reason: str = ""
) -> Decided:
    """Make these grades official. Raises `ConflictingDecision` when someone decided since, and records nothing then."""
    review.keep_context(found.scheme.context)
    return review.replace(
        list(found.seen),
        _computing(found.scheme, registry),
        source=context_source(found.scheme),
        by=by,
        reason=reason or f"{COMPUTED_AGAIN} {found.scheme.title}",
        seen=found.seen,
    )


def is_rescored(_row: ResultRow, official: Official) -> bool:
    """The grade that holds was computed again, and is nobody's correction of it."""
    decision = official.decision
    return (
        decision is not None
        and (decision.source or "").startswith(CONTEXT_SOURCE)
        and decision.reason.startswith(COMPUTED_AGAIN)
    )


def _computing(scheme: GradingScheme, registry: SchemaRegistry) -> Callable[[ResultRow, Official], object]:
    model = registry.resolve(scheme.schema, scheme.context).model
    return lambda row, official: _rescored_item(row, official, scheme, model)


def _with_the_doubt_of(old: Mapping[str, object], scheme: GradingScheme) -> GradingScheme:
    """Answers fit the schema that they were asked with: whether the model may doubt stays as it was."""
    context = {**scheme.context, "cannot_assess": bool(old.get("cannot_assess"))}
    return scheme_of_context(scheme.schema, context) or scheme


def context_source(scheme: GradingScheme) -> str:
    """How a decision names the rubric that its points follow from; `Review` reads it back for later corrections."""
    return f"{CONTEXT_SOURCE}{content_digest(scheme.context)}"


def _rescored_item(
    row: ResultRow, official: Official, scheme: GradingScheme, model: type[BaseModel]
) -> dict[str, Any] | str:
    if official.state is ReviewState.ON_HOLD:
        return "it is on hold"
    if row.schema != scheme.schema:
        return f"it was not graded by {_kind_of(scheme)}"
    base = row.result if official.result is None else official.result
    if not isinstance(base, dict):
        return "its answer was purged" if row.is_purged else f"it has no result ({row.failure_kind})"
    if is_by_hand(base):
        return "it was graded by hand; correct it by hand"
    try:
        result = corrected(_without_dropped(base, scheme), model, Correction())
    except InvalidInput as problem:
        return f"its answer does not fit: {problem}; {AGAIN}"
    return result if isinstance(result, dict) else "its answer has no fields"


def _without_dropped(result: dict[str, Any], scheme: GradingScheme) -> dict[str, Any]:
    """The answer without what the new scheme does not count any more."""
    if scheme.schema == RUBRIC_SCHEMA:
        kept = {each["criterion_id"] for each in _entries(scheme.context, "criteria")}
        criteria = {name: said for name, said in result.get("criteria", {}).items() if name in kept}
        by_hand = {name: points for name, points in result.get(POINTS_BY_HAND, {}).items() if name in kept}
        return {**result, "criteria": criteria, POINTS_BY_HAND: by_hand}
    known = {each["error_id"] for each in _entries(scheme.context, "error_definitions")}
    return {**result, "occurrences": [each for each in result.get("occurrences", ()) if each["error_id"] in known]}


def _entries(context: Mapping[str, object], name: str) -> list[dict[str, Any]]:
    found = context.get(name)
    return found if isinstance(found, list) else []


def _notes(old_context: Mapping[str, Any], scheme: GradingScheme) -> list[str]:
    old = scheme_of_context(scheme.schema, old_context) if old_context else None
    if old is None or old.section == scheme.section:
        return []
    names = "criterion_id" if scheme.schema == RUBRIC_SCHEMA else "error_id"
    entries = "criteria" if scheme.schema == RUBRIC_SCHEMA else "error_definitions"
    before = {each[names] for each in _entries(old.context, entries)}
    dropped = sorted(before - {each[names] for each in _entries(scheme.context, entries)})
    notes = [f"no longer counted: {', '.join(dropped)}"] if dropped else []
    words = (
        "the words that the model was asked with have changed too; it answered the old ones, and only points follow "
        "the new ones, until it is graded again"
    )
    return [*notes, words]


def _kind_of(scheme: GradingScheme) -> str:
    return "an error catalogue" if scheme.schema == CATALOGUE_SCHEMA else "a rubric"
