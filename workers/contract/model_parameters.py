"""Which of a job's wishes a model is sent: effort, verbosity, temperature and the limit of its output.

Part of the contract: stdlib only. Producers refuse what a known model does not take; workers leave it out, since a job
may fall back to another model. A model that nobody knows is sent what was asked for, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.contract.job import DEFAULT_MAX_TOKENS
from workers.contract.pictures import has_pictures

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.contract.job import JobParameters, JobSpec
    from workers.contract.model_profile import ModelProfile

_ROOM_TO_REASON = {
    "none": 0,
    "minimal": 1_024,
    "low": 4_096,
    "medium": 12_288,
    "high": 28_672,
    "xhigh": 61_440,
    "max": 61_440,
}
"""Tokens, by effort. Reasoning counts against the output limit: without room, the answer is paid for and cut."""


def output_limit(profile: ModelProfile, max_tokens: int | None, effort: str | None) -> int:
    """Tokens that an answer may have: as given, or the default with room to reason, within what the model takes."""
    if max_tokens is not None:
        return max_tokens
    room = _ROOM_TO_REASON[_effort_used(profile, effort) or "none"]
    return min(DEFAULT_MAX_TOKENS + room, profile.max_output_tokens or DEFAULT_MAX_TOKENS + room)


def sent_effort(profile: ModelProfile, effort: str | None) -> str | None:
    """The effort, where the model takes it."""
    return effort if profile.efforts is None or effort in profile.efforts else None


def sent_verbosity(profile: ModelProfile, verbosity: str | None) -> str | None:
    """The verbosity, where the model takes one."""
    return verbosity if profile.takes_verbosity or profile.efforts is None else None


def sends_temperature(profile: ModelProfile, effort: str | None) -> bool:
    """Models that may reason take a temperature only while they do not: gpt-5.1 to 5.4 at the effort `none`."""
    return profile.takes_temperature and (not profile.reasons or _effort_used(profile, effort) == "none")


def check_choices(model: str, parameters: JobParameters, profile: ModelProfile) -> None:
    """Raise `InvalidInput` for an effort or verbosity that this model would refuse."""
    if parameters.effort is not None and sent_effort(profile, parameters.effort) is None:
        if not profile.efforts:
            raise InvalidInput(f"{model} takes no effort; leave --effort out")
        raise InvalidInput(
            f"{model} does not take the effort {parameters.effort!r}; choose from {', '.join(profile.efforts)}"
        )
    if parameters.verbosity is not None and sent_verbosity(profile, parameters.verbosity) is None:
        raise InvalidInput(f"{model} takes no verbosity; leave --verbosity out")


class ChoiceCheck:
    """Judges the jobs of an input; the same question is asked once."""

    def __init__(self, profile_of: Callable[[str], ModelProfile]) -> None:
        self._profile_of = profile_of
        self._passed: set[tuple[str, str | None, str | None]] = set()

    def sees(self, model: str) -> bool:
        """Whether the model takes pictures."""
        return self._profile_of(model).takes_pictures

    def check(self, spec: JobSpec) -> None:
        """Raise `InvalidInput` for an effort or verbosity that the job's model would refuse."""
        asked = (spec.model, spec.parameters.effort, spec.parameters.verbosity)
        if asked not in self._passed:
            check_choices(spec.model, spec.parameters, self._profile_of(spec.model))
            self._passed.add(asked)
        if has_pictures(spec.prompt, spec.instructions):
            models = (spec.model, spec.parameters.fallback_model)
            blind = [model for model in models if model is not None and not self.sees(model)]
            if blind:
                raise InvalidInput(
                    f"the work of {spec.id!r} is pictures, and {blind[0]} takes none; choose another model"
                )


def _effort_used(profile: ModelProfile, effort: str | None) -> str | None:
    return sent_effort(profile, effort) or profile.default_effort
