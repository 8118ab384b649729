"""Names in the prompts of a regrade: searched for everybody of the old batch and of its class list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from producer.inputs.class_names import search_in
from producer.inputs.joining import keyed
from workers.contract.errors import InvalidInput
from workers.contract.identity import IdentityRule
from workers.contract.origin import BatchOrigin
from workers.contract.schemes.fence import Fence

if TYPE_CHECKING:
    from producer.batch import BatchOverview
    from producer.client import JobClient
    from producer.regrading.change import Change
    from workers.contract.job import JobSpec


class NamesOfRegrade:
    """The rule, the class and the pseudonyms' key of one regrade: the old batch's, so that a student keeps the word."""

    def __init__(self, client: JobClient, old: BatchOverview, change: Change, name: str) -> None:
        self.rule = IdentityRule(old.origin.identity or IdentityRule.WARN)
        self._old = old
        self._change = change
        self.key = self._found_key(client, name)

    def _found_key(self, client: JobClient, name: str) -> str | None:
        if self.rule is not IdentityRule.REPLACE:
            return None
        return self._old.origin.pseudonym_key or keyed(BatchOrigin(), name=name, begun=client.origin(name)).names_key

    def kept_in(self, origin: BatchOrigin) -> BatchOrigin:
        """The new batch's origin with what is kept of them."""
        roster = self._change.roster
        return replace(
            origin,
            identity=self._old.origin.identity,
            names_key=None if self.key == origin.fence else self.key,
            roster=str(roster.absolute()) if roster is not None else self._old.origin.roster,
        )

    @property
    def roster(self) -> Path | None:
        """The class list: the given one, or the old batch's.

        Raises `InvalidInput` when that is gone and pseudonyms must be sent; else it is said, and done without.
        """
        kept = self._old.origin.roster
        if self._change.roster is not None or kept is None:
            return self._change.roster
        if Path(kept).is_file():
            return Path(kept)
        gone = f"the class list of {self._old.name!r} is no longer at {kept}"
        if self.rule is IdentityRule.REPLACE:
            raise InvalidInput(f"{gone}; give it with --roster, so that no name on it is sent")
        if self._change.on_note is not None:
            self._change.on_note(f"{gone}: students who are only on it are not searched for")
        return None

    def searched(self, client: JobClient, specs: list[JobSpec], *, mark: str | None) -> list[JobSpec]:
        """The specs as they are to be sent; as they are where prompts that were searched are sent again.

        `mark` is the fence's, where there is one.
        """
        if not (self._change.asks_differently or self._change.roster) or self._change.input_path is not None:
            return specs
        return search_in(
            specs,
            self.rule,
            people=client.batch(self._old.name).people(),
            roster=self.roster,
            fence=Fence(mark) if mark is not None else None,
            key=self.key,
        )
