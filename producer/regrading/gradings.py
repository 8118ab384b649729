"""What the drift of two batches is judged by: pairs of their results and of their repeats, and which are decimals."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from producer.regrading.decimal_fields import decimal_fields
from producer.regrading.drift_report import drift_report
from producer.regrading.repeats import repeats_of
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.batch import Batch
    from producer.regrading.drift import Pair
    from producer.regrading.drift_report import DriftReport
    from workers.contract.registry import SchemaRegistry


def decimals_by(registry: SchemaRegistry) -> Callable[[str], frozenset[str]]:
    """Schema -> its decimal fields, where it can be loaded here; those with a context hold none."""

    @cache
    def decimals_of(schema: str) -> frozenset[str]:
        if registry.needs_context(schema):
            return frozenset()
        try:
            return decimal_fields(registry.resolve(schema).model)
        except InvalidInput:
            return frozenset()

    return decimals_of


def drift_of(old: Batch, new: Batch, *, exists: Callable[[str], bool], registry: SchemaRegistry) -> DriftReport:
    """The report on two batches. `exists`: whether there is a batch of this name.

    Every result of both is read once, and some are in memory at a time. Raises `InvalidInput` for a batch that does not
    exist, `ServiceUnavailable` without scipy.
    """
    return drift_report(
        old.beside(new.name),
        (pair for batch in (old, new) for pair in _same_kind(batch, exists)),
        old=old.name,
        new=new.name,
        old_results=old.count_results(),
        new_results=new.count_results(),
        decimals_of=decimals_by(registry),
    )


def _same_kind(batch: Batch, exists: Callable[[str], bool]) -> Iterator[Pair]:
    """The same work graded twice in the same way: in the batch and its repeats, and twins that were graded apart."""
    for repeat in repeats_of(batch.name, exists):
        yield from batch.beside(repeat)
    yield from batch.twins_graded_apart()
