"""What the page's sessions share: one client, and the settings of the process."""

from __future__ import annotations

import streamlit as st

from producer.client import JobClient
from workers.contract.schema_files.lookup import InstalledSchemas
from workers.settings import Settings, load_settings

PAID_BY = "paid by"
"""In the session: the account that a new batch names."""


@st.cache_resource
def client() -> JobClient:
    """The process's client; sessions share it. Raises what `JobClient.connect` raises."""
    return JobClient.connect(settings(), schemas=InstalledSchemas())


@st.cache_resource
def settings() -> Settings:
    """Read once."""
    return load_settings()


def payer() -> Settings:
    """The settings, speaking of the account that the form of a new batch chose."""
    return settings().of_account(st.session_state.get(PAID_BY, settings().account))


def payer_client() -> JobClient:
    """The client that enqueues for that account."""
    chosen = payer()
    return client() if chosen.account == settings().account else _client_of(chosen.account)


@st.cache_resource
def _client_of(account: str | None) -> JobClient:
    return JobClient.connect(settings().of_account(account), schemas=InstalledSchemas())
