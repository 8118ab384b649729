"""Search prompts that a program made itself for the names of its class, before they are enqueued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.inputs.api_item import spec_of
from producer.inputs.class_list import ClassList
from producer.inputs.identity import searched
from producer.inputs.joining import known_rule
from workers.contract.identity import IdentityRule
from workers.contract.schemes.fence import Fence

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from producer.inputs.api_item import Item
    from producer.inputs.class_list import Who
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
    rule = known_rule(identity)
    given = [spec_of(spec, schema=schema, model=model, parameters=params) for spec in specs]
    mark = Fence(fence) if fence is not None else None
    return search_in(given, rule, people=(), roster=roster, fence=mark, key=None)


def search_in(
    specs: Iterable[JobSpec],
    rule: IdentityRule,
    *,
    people: Iterable[Who],
    roster: Path | None,
    fence: Fence | None,
    key: str | None,
) -> list[JobSpec]:
    """The same for specs that join these people; see `identity.searched` for `fence` and `key`."""
    given = list(specs)
    named = ClassList.of([*((spec.id, spec.metadata) for spec in given), *people], roster)
    return [searched(spec, named, rule, fence=fence, key=key) for spec in given]
