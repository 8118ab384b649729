"""What the last upload was graded with: instructions, rubric and settings, so that the next one starts from them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import streamlit as st

from producer.inputs.kits.kit import NO_KIT, Kit
from producer.inputs.templates import Template
from producer.page.plain_text import plain
from producer.page.services import client
from producer.review.opening import board_of
from workers.contract.errors import InvalidInput
from workers.contract.origin import UPLOADED

if TYPE_CHECKING:
    from collections.abc import Collection

LOOKED_AT = 20
"""Batches, the newest: the last upload is among them, or long ago."""
_KEPT = "kit of the last batch"


def last_kit(columns: Collection[str]) -> Kit:
    """The last upload's way of grading as a kit, when it is wanted; the empty one else. `columns`: of this upload."""
    if _KEPT not in st.session_state:
        st.session_state[_KEPT] = _found()
    found: tuple[str, Kit] = st.session_state[_KEPT]
    name, kit = found
    if not name or not st.toggle(plain(f"Instructions, rubric and settings as in {name}"), value=True, key="as before"):
        return NO_KIT
    if kit.template is not None and not _fits(kit, columns):
        return Kit(name=kit.name, given=kit.given, options=kit.options, context=kit.context)
    return kit


def forget_last_kit() -> None:
    """Another batch is the last one now."""
    st.session_state.pop(_KEPT, None)


def _found() -> tuple[str, Kit]:
    last = next(
        (each for each in client().batches(at_most=LOOKED_AT)
         if each.origin.input == UPLOADED and each.origin.regrade_of is None),
        None,
    )  # fmt: skip
    job = board_of(client(), last.name).first_job() if last is not None else None
    if last is None or job is None or job.schema not in client().registry.names():
        return "", NO_KIT
    options: dict[str, object] = {"schema": job.schema, "model": job.model}
    options |= {name: value for name, value in asdict(job.parameters).items() if value is not None}
    text = last.origin.template_text
    return last.name, Kit(
        name=last.name,
        given=last.origin.given,
        template=Template.parse(text, name="template") if text else None,
        options=options,
        context=client().context(job.context_hash) if job.context_hash else None,
    )


def _fits(kit: Kit, columns: Collection[str]) -> bool:
    """Whether every placeholder of its instructions is a column of this upload."""
    try:
        if kit.template is not None:
            kit.template.bind(columns, given=kit.given)
    except InvalidInput:
        return False
    return True
