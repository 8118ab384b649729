"""The provider's limits for Prometheus: what `gradequeue status` shows of them, on Flower's own /metrics page.

Labels hold the account and the model, nothing of any job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import RedisError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from workers.budget.view import BudgetView, ModelBudget

LABELS = ("account", "model")
GAUGES = {
    "requests_limit": "Requests a minute that the provider allows",
    "requests_used": "Requests sent in the last minute, about",
    "requests_left": "Requests that may be sent at once",
    "tokens_limit": "Tokens a minute that the provider allows",
    "tokens_left": "Tokens that may be sent at once",
    "waiting": "Jobs that wait for this limit in all workers",
    "wait_seconds": "Until calls may go out again after a refusal",
}


class BudgetMetrics(Collector):
    """Reads every budget when it is asked; while Redis is away there is nothing but `gradequeue_budget_up 0`."""

    def __init__(self, view: BudgetView) -> None:
        self._view = view

    def describe(self) -> list[Metric]:
        """Nothing is read when it is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One family for each of `GAUGES`; a limit that nobody knows is absent, never 0."""
        try:
            budgets = self._view.read_all()
        except (RedisError, OSError):
            budgets = None
        yield GaugeMetricFamily("gradequeue_budget_up", "1 while Redis answers", value=int(budgets is not None))
        for name, text in GAUGES.items():
            yield _gauge(name, text, budgets or [])
        refusals = CounterMetricFamily("gradequeue_budget_refusals", "Answers of 429", labels=LABELS)
        for budget in budgets or []:
            refusals.add_metric([budget.account, budget.model], budget.refusals)
        yield refusals


def _gauge(name: str, text: str, budgets: list[ModelBudget]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"gradequeue_budget_{name}", text, labels=LABELS)
    for budget in budgets:
        value: float | None = getattr(budget, name)
        if value is not None:
            family.add_metric([budget.account, budget.model], value)
    return family
