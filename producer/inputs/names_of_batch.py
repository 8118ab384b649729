"""Search the prompts of a program for names where they join a batch: for its students, too, and by its rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from producer.inputs.class_names import search_in
from producer.inputs.joining import keyed, rule_of
from workers.contract.identity import IdentityRule
from workers.contract.schemes.fence import Fence
from workers.store.overviews import read_origin
from workers.store.stored_jobs import read_people

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from workers.contract.job import JobSpec
    from workers.contract.origin import BatchOrigin
    from workers.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class NameSearch:
    """A client's setting for names, for every batch."""

    identity: IdentityRule | str | None = None
    roster: Path | None = None

    def of_batch(
        self,
        store: Store,
        name: str,
        specs: Iterable[JobSpec],
        origin: BatchOrigin,
        *,
        identity: IdentityRule | str | None,
        roster: Path | None,
    ) -> tuple[Iterable[JobSpec], BatchOrigin]:
        """The specs as they are to be sent, and what is kept with a new batch of them; as they are without a rule.

        `identity` and `roster` come before the client's. Raises `InvalidInput` as `joining` does, and for the first
        prompt that names a student where the rule is `refuse`.
        """
        roster = roster or self.roster
        with store.snapshot() as connection:
            begun = read_origin(connection, name)
            rule = rule_of(identity, default=self.identity, roster=roster, name=name, begun=begun or origin)
            people = [] if rule is None else list(read_people(connection, name))
        if rule is None:
            return specs, origin
        if rule is IdentityRule.REPLACE:
            origin = keyed(origin, name=name, begun=begun)
        if roster is not None:
            origin = replace(origin, roster=str(roster.absolute()))
        mark, key = (begun or origin).fence, (begun or origin).pseudonym_key
        fence = Fence(mark) if mark else None
        return search_in(specs, rule, people=people, roster=roster, fence=fence, key=key), origin
