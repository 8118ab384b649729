"""The page's question by which model grades: the known ones are suggested, any other may be typed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import streamlit as st

from producer.page.plain_text import plain
from producer.page.services import payer, settings
from workers.contract.model_profile import load_profiles

if TYPE_CHECKING:
    from producer.inputs.kits.kit import Kit

STANDIN_MODEL = "standin"
"""The model of offline jobs that name none, as on the command line."""


def asked_model(kit: Kit) -> str:
    """The model's name, empty while none is chosen; a name that its provider is not known to have is warned of.

    The kit's, the last upload's or the settings' model is chosen from the start; without them none is.
    """
    profiles, host = load_profiles(settings().model_profiles), payer().provider_host
    first = str(kit.options.get("model") or settings().model or (STANDIN_MODEL if settings().offline else ""))
    suggested = () if settings().offline else profiles.names_at(host, today=datetime.now(UTC).date())
    key = f"model {kit.name}".strip()
    typed_before = str(st.session_state.get(key) or "")  # stays among the suggestions
    names = list(dict.fromkeys(filter(None, (first, *suggested, typed_before))))
    typed = st.selectbox(
        "Model", names, index=0 if first else None, key=key, accept_new_options=True,
        placeholder="choose one, or type its name",
    )  # fmt: skip
    model = (typed or "").strip()
    if model and not settings().offline and profiles.is_unknown_at(model, host):
        st.warning(plain(f"No model {model} is known at {host}: check its spelling, or try it with one submission."))
    return model
