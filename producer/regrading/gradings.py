"""What the drift of two batches is judged by: the results of each and of its repeats, and which fields are decimals."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from producer.regrading.decimal_fields import decimal_fields
from producer.regrading.drift_report import drift_report
from producer.regrading.repeats import repeats_of
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from producer.batch import ResultRow
    from producer.client import JobClient
    from producer.regrading.drift_report import DriftReport
    from workers.contract.registry import SchemaRegistry


def gradings_of(
    batch: str, results_of: Callable[[str], Iterable[ResultRow]], exists: Callable[[str], bool]
) -> list[list[ResultRow]]:
    """The batch's rows, then those of its repeats. Raises what `results_of` does for a batch that does not exist."""
    return [list(results_of(name)) for name in (batch, *repeats_of(batch, exists))]


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


def drift_of(client: JobClient, old: str, new: str) -> DriftReport:
    """The report on two batches of this client. Reads every result of both; `ServiceUnavailable` without scipy."""

    def gradings(batch: str) -> list[list[ResultRow]]:
        return gradings_of(
            batch, lambda name: client.batch(name).results(), lambda name: client.find_batch(name) is not None
        )

    return drift_report(gradings(old), gradings(new), decimals_of=decimals_by(client.registry))
