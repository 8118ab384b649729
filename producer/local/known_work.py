"""A batch that holds most of an input already: a late hand-in is added to it, so that a class is not paid for twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.contract.errors import ConflictingJob
from workers.contract.job import prompt_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from producer.batch import BatchOverview
    from producer.client import JobClient
    from workers.contract.job import JobSpec
    from workers.contract.origin import BatchOrigin

MOST_LOOKED_AT = 50
"""The newest batches: a late hand-in belongs to one of them."""
_MOST_SHOWN = 5
_NO_WORK = prompt_hash("")
_SAME_ORDER = ("schema", "scheme", "model", "template", "effort", "verbosity", "twins", "identity", "regrade_of")
"""Fields of an origin that say how work is graded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWork:
    """What a batch holds of an input."""

    batch: str
    same: int
    changed: tuple[str, ...]
    """Ids that it holds with other work."""
    added: tuple[str, ...]
    """Ids that it does not hold."""

    @property
    def new(self) -> int:
        """Items that it does not hold."""
        return len(self.added)

    @property
    def total(self) -> int:
        """Items of the input."""
        return self.same + len(self.changed) + self.new

    def sentence(self, way_out: str = "--name makes a batch of its own", *, renews: bool = True) -> str:
        """`38 of 39 are in BATCH already; the other one is added to it`. `renews`: other work gets another round."""
        held = f"{self.same:,} of {self.total:,} are in {self.batch} already"
        if self.new:
            held += f"; {'the other one is' if self.new == 1 else f'{self.new:,} are'} added to it"
        if self.changed:
            gets = "gets" if len(self.changed) == 1 else "get"
            then = f"and {gets} another round" if renews else "and stay as graded before"
            held += f"; {len(self.changed):,} handed in other work since {then}"
        return f"{held} ({way_out})"

    def refuse_changed(self) -> None:
        """`ConflictingJob` when work differs from before and no option says to grade it again."""
        if not self.changed:
            return
        names = ", ".join(self.changed[:_MOST_SHOWN])
        more = f" and {len(self.changed) - _MOST_SHOWN:,} more" if len(self.changed) > _MOST_SHOWN else ""
        raise ConflictingJob(
            f"{self.same:,} of {self.total:,} are in {self.batch} already, and {names}{more} handed in other work "
            "since; --update grades it and keeps the earlier grades, --name grades everything again"
        )


def find_known_work(
    client: JobClient,
    origin: BatchOrigin,
    ids: Collection[str],
    specs: Callable[[BatchOverview], Iterable[JobSpec]],
) -> KnownWork | None:
    """The newest batch that is graded alike and holds at least half of these items with the same work.

    `specs` makes the jobs as they would join that batch.
    """
    for overview in client.batches(at_most=MOST_LOOKED_AT):
        if not is_graded_alike(overview.origin, origin) or overview.provider != client.provider:
            continue
        held = client.batch(overview.name).work()
        if 2 * sum(identity in held for identity in ids) < len(ids):
            continue
        found = compared(overview.name, held, specs(overview))
        if 2 * found.same >= found.total:
            return found
    return None


def is_graded_alike(one: BatchOrigin, other: BatchOrigin) -> bool:
    """Whether both say the same of how work is graded."""
    return all(getattr(one, name) == getattr(other, name) for name in _SAME_ORDER)


def compared(name: str, held: Mapping[str, tuple[str, str, str]], specs: Iterable[JobSpec]) -> KnownWork:
    """What of these jobs a batch holds. What it had to leave out, without any work, is new."""
    same = 0
    added: list[str] = []
    changed: list[str] = []
    for spec in specs:
        before = held.get(spec.id)
        if before is None:
            added.append(spec.id)
        elif before[0] == spec.prompt_hash:
            same += 1
        elif before[0] == _NO_WORK:
            added.append(spec.id)
        else:
            changed.append(spec.id)
    return KnownWork(batch=name, same=same, changed=tuple(changed), added=tuple(added))
