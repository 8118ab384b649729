"""The page's questions by what was asked of the class: a course kit, the assignment, a solution, notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.inputs.kits.kit import list_kits, load_kit
from producer.page.kept import last_kit
from producer.page.plain_text import plain
from producer.page.services import PAID_BY, settings
from workers.contract.account import DEFAULT_ACCOUNT
from workers.contract.errors import InvalidInput
from workers.contract.schemes.layout import GIVEN_TITLES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from producer.inputs.kits.kit import Kit

_HELP: Mapping[str, str] = {
    "assignment": "The text that the students had.",
    "solution": "The model sees it, students do not.",
    "notes": "What counts, what does not, what was allowed.",
}


def chosen_kit(columns: Collection[str]) -> Kit:
    """What the form is filled from: a kit, else the last upload, else nothing. May raise `InvalidInput`."""
    folder = settings().kits
    names = list_kits(folder) if folder is not None else []
    if folder is None or not names:
        return last_kit(columns)
    name = st.selectbox("Course kit", names, index=None, placeholder="none", key="kit")
    if name is None:
        return last_kit(columns)
    kit = load_kit(folder / name)
    for warning in kit.warnings:
        st.warning(plain(warning))
    return kit


def chosen_kit_and_account(columns: Collection[str]) -> Kit:
    """As `chosen_kit`; the account that pays, which a kit may name, is asked and kept in the session."""
    kit = chosen_kit(columns)
    _ask_account(kit)
    return kit


def _ask_account(kit: Kit) -> None:
    """Who pays, where settings name more than one account; kept in the session (see `services.payer`)."""
    accounts = [DEFAULT_ACCOUNT, *settings().named_accounts]
    if len(accounts) == 1 or settings().offline:
        return
    wanted = str(kit.options.get("account") or settings().account or DEFAULT_ACCOUNT)
    if wanted not in accounts:
        raise InvalidInput(f"the kit names the account {wanted!r}, which this page does not know")
    chosen = st.selectbox("Account that pays", accounts, accounts.index(wanted), key=f"account {kit.name}")
    st.session_state[PAID_BY] = chosen


def asked_texts(kit: Kit) -> dict[str, str]:
    """Assignment, solution and notes, of those that are not blank; the kit's until they are changed here."""
    with st.expander("What was asked", expanded=False, icon=":material/assignment:"):
        written = {
            name: st.text_area(title, value=kit.given.get(name, ""), key=f"{name} {kit.name}", help=_HELP[name])
            for name, title in GIVEN_TITLES.items()
        }
    found = {name: text for name, text in written.items() if text and text.strip()}
    if "assignment" not in found:
        st.caption("The assignment's text is empty: the model grades without knowing what was asked.")
    return found
