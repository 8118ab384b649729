"""An upload that is to be graded in another way than the batch it would join."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.page.services import client, payer_client
from producer.terminal.words import listed
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from workers.contract.origin import BatchOrigin


def refuse_another_order(name: str, origin: BatchOrigin) -> None:
    """One batch, one way of grading: otherwise students in one batch would be graded by different rubrics unnoticed."""
    batch = client().find_batch(name)
    if batch is None:
        return
    kept = batch.origin
    differs = {
        "instructions": kept.template != origin.template,
        "kind of result": kept.schema != origin.schema,
        "rubric or error catalogue": kept.scheme != origin.scheme,
        "model": kept.model != origin.model,
        "rule for students' names": kept.identity != origin.identity,
        "assignment, solution or notes": kept.given != origin.given,
        "effort or verbosity": (kept.effort, kept.verbosity) != (origin.effort, origin.verbosity),
        "provider": batch.provider != payer_client().provider,
    }
    others = [what for what, is_other in differs.items() if is_other]
    if others:
        raise InvalidInput(
            f"the batch {name!r} exists and was graded in another way ({listed(others)} differ); choose another name"
        )
