"""How an upload is to be graded, as the form of the page says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.inputs.specs import JobDefaults
from workers.contract.identity import IdentityRule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from producer.inputs.templates import BoundTemplate, Template
    from workers.contract.job import JobParameters
    from workers.contract.model_parameters import ChoiceCheck
    from workers.contract.schemes.fence import Fence
    from workers.contract.schemes.scheme import GradingScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How to grade the upload, as the form says."""

    schema: str
    model: str
    template: Template
    bound: BoundTemplate
    given: Mapping[str, str]
    """Assignment, solution and notes by name."""
    scheme: GradingScheme | None
    parameters: JobParameters
    choices: ChoiceCheck
    """What the model takes, pictures among it."""
    identity: IdentityRule = IdentityRule.WARN
    """What becomes of a prompt that names a student."""
    roster: Path | None = None
    """The class list of the kit: who is on it is searched for, too."""

    def defaults(self, fence: Fence) -> JobDefaults:
        """What holds for every job; only an instructor's table may say otherwise, and never another schema."""
        return JobDefaults(
            template=self.bound,
            schema=self.schema,
            model=self.model,
            parameters=self.parameters,
            known_schemas=(self.schema,),
            section=self.scheme.section if self.scheme else None,
            fence=fence,
            choices=self.choices,
        )
