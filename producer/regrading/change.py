"""What a regrade does differently from the batch that it grades again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from producer.inputs.kits.kit import Kit
    from producer.inputs.templates import Template
    from workers.contract.job import JobParameters
    from workers.contract.schemes.scheme import GradingScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a regrade does differently; one thing at least."""

    model: str | None = None
    template: Template | None = None
    scheme: GradingScheme | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    """Assignment, solution and notes that replace the batch's own, by name."""
    effort: str | None = None
    verbosity: str | None = None
    max_tokens: int | None = None
    input_path: Path | None = None
    """The submissions, read again instead of cut out of the prompts."""
    roster: Path | None = None
    """A class list to search prompts for; the old batch's when not given."""
    encoding: str | None = None
    """Of the input's files that are not UTF-8; detected when not given."""
    on_note: Callable[[str], None] | None = None
    """Called with what was assumed about the input."""

    def __post_init__(self) -> None:
        if self.model is None and not self.asks_differently and not self._parameters:
            raise InvalidInput("nothing would change; give another --model, --template, --rubric or --effort")

    @property
    def asks_differently(self) -> bool:
        """Whether prompts change, so that submissions are needed."""
        return self.template is not None or self.scheme is not None or bool(self.given)

    def parameters(self, old: JobParameters) -> JobParameters:
        """A job's own, and what changes; the moment by which it was wanted is over, or another's."""
        return replace(old, deadline_at=None, **self._parameters)  # type: ignore[arg-type] # by its field's name

    @property
    def _parameters(self) -> dict[str, object]:
        given = {"effort": self.effort, "verbosity": self.verbosity, "max_tokens": self.max_tokens}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def digest(self) -> str:
        """Distinguishes two changes, hex."""
        content = [
            self.model,
            self.template.sha256 if self.template else None,
            self.scheme.digest if self.scheme else None,
            *([self._parameters] if self._parameters else []),
            *([dict(self.given)] if self.given else []),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def change_with(kit: Kit, **given: Any) -> Change:
    """The change that a kit asks for, where `given`, fields of `Change`, does not say otherwise."""
    from_kit = {
        "template": kit.template,
        "scheme": kit.scheme(),
        "given": kit.given,
        "roster": kit.options.get("roster"),
        **{name: kit.options.get(name) for name in ("model", "effort", "verbosity", "max_tokens")},
    }
    return Change(**{**from_kit, **{name: value for name, value in given.items() if value is not None}})
