"""A spend cap needs prices: jobs of a model without one are refused before anything is enqueued."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.contract.job import JobSpec
    from workers.contract.model_profile import ModelProfile


@dataclass(slots=True)
class PriceCheck:
    """Asks once per model."""

    profile_of: Callable[[str], ModelProfile]
    provider: str
    _priced: set[str] = field(default_factory=set)

    def check(self, spec: JobSpec) -> None:
        """Raise `InvalidInput` when the job's highest cost is unknown."""
        for model in (spec.model, spec.parameters.fallback_model):
            if model is not None and model not in self._priced:
                self.check_model(model)

    def check_model(self, model: str) -> None:
        """Raise `InvalidInput` when this model has no price."""
        if not self.profile_of(model).has_price:
            raise InvalidInput(
                f"a spend cap cannot be kept: the price of {model} at {self.provider} is unknown. Give it in the file "
                "that GRADEQUEUE_MODEL_PROFILES names, or leave the cap out"
            )
        self._priced.add(model)
