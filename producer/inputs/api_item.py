"""What a program hands to `JobClient.enqueue`: items that share schema, model and parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters, JobSpec

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to grade, when schema, model and parameters are the same for all of them.

    `metadata` comes back untouched with the outcome.
    """

    id: str
    prompt: str = field(repr=False)
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)


def spec_of(
    spec: JobSpec | Item, *, schema: str | None, model: str | None, parameters: JobParameters | None
) -> JobSpec:
    """The job of an item, or the job itself; `InvalidInput` for an item without schema or model."""
    if isinstance(spec, JobSpec):
        return spec
    if schema is None or model is None:
        raise InvalidInput(f"item {spec.id!r} names neither schema nor model; give both to enqueue()")
    return JobSpec(
        id=spec.id,
        prompt=spec.prompt,
        schema=schema,
        model=model,
        parameters=parameters or JobParameters(),
        metadata=spec.metadata,
    )
