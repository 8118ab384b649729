"""An upload of which a batch holds most already: what is said about it, and what pressing the button will do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from producer.page.plain_text import plain
from producer.page.spending import grade_label
from producer.terminal.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.local.known_work import KnownWork
    from producer.page.spending import Limits
    from workers.contract.job import JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """What will be graded."""

    specs: Sequence[JobSpec]
    """Those that will be new to the batch, or are graded again; who has nothing to grade may be among them."""
    known: KnownWork | None
    """What the batch holds; None for a batch that is not known to hold any of it."""
    renews: bool
    """Whether other work of the same student is graded again."""

    def without_kept(self, specs: Sequence[JobSpec]) -> list[JobSpec]:
        """All but those whose earlier work is to stay although they handed in other work."""
        kept = frozenset(self.known.changed) if self.known is not None and not self.renews else frozenset()
        return [spec for spec in specs if spec.id not in kept]

    def label(self, limits: Limits) -> str:
        """Of the button: as many as will be graded."""
        graded = [spec.id for spec in self.specs if not spec.left_out]
        if self.known is None or (limits.pilot is not None and limits.pilot < len(graded)):
            return grade_label(len(graded), limits)
        again = len(frozenset(self.known.changed) & frozenset(graded))
        new = len(graded) - again
        if not graded:
            return "Grade nothing new, open the batch"
        if not again:
            return f"Grade {counted(new, 'new submission')}"
        return (
            f"Grade {counted(new, 'new submission')} and {again} again"
            if new
            else (f"Grade {counted(again, 'submission')} again")
        )


def joins(known: KnownWork | None, specs: Sequence[JobSpec]) -> Joining:
    """Say what the batch holds already, and ask what becomes of other work; `known` is None for another batch."""
    if known is None:
        return Joining(specs=specs, known=None, renews=False)
    said = st.container()
    renews = bool(known.changed) and st.toggle("Grade again who handed in other work since", value=True, key="renews")
    said.info(plain(known.sentence("another name above makes a batch of its own", renews=renews)))
    graded = frozenset((*known.added, *(known.changed if renews else ())))
    return Joining(specs=[spec for spec in specs if spec.id in graded], known=known, renews=renews)
