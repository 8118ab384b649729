"""Search prompts that a program made itself for the names of its class, before they are enqueued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.inputs.api_item import spec_of
from producer.inputs.class_list import ClassList
from producer.inputs.identity import searched
from workers.contract.errors import InvalidInput
from workers.contract.identity import IdentityRule
from workers.contract.schemes.fence import Fence

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from producer.inputs.api_item import Item
    from workers.contract.job import JobParameters, JobSpec


def search_names(
    specs: Iterable[JobSpec | Item],
    *,
    identity: IdentityRule | str = IdentityRule.WARN,
    roster: Path | None = None,
    fence: str | None = None,
    schema: str | None = None,
    model: str | None = None,
    params: JobParameters | None = None,
) -> list[JobSpec]:
    """The jobs as `JobClient.enqueue` takes them: flagged, or with pseudonyms, where a prompt names a student.

    Searched for is everybody of these items by id and metadata (`name`, `email`, ...), and of `roster`, a CSV.
    `fence` is the mark around the work, where there is one. The other three are for `Item`s, as in `enqueue`. All
    prompts are held in memory. Raises `InvalidInput` for an unknown rule, and for the first prompt that names a
    student where the rule is `refuse`.
    """
    if identity not in list(IdentityRule):
        raise InvalidInput(f"there is no rule {str(identity)!r}; choose from {', '.join(IdentityRule)}")
    given = [spec_of(spec, schema=schema, model=model, parameters=params) for spec in specs]
    people = ClassList()
    for spec in given:
        people.add(spec.id, spec.metadata)
    if roster is not None:
        people.add_roster(roster)
    mark = Fence(fence) if fence is not None else None
    return [searched(spec, people, IdentityRule(identity), fence=mark) for spec in given]
