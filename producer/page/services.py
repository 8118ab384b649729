"""What the page's sessions share: one client, and the settings of the process."""

from __future__ import annotations

import streamlit as st

from producer.client import JobClient
from workers.contract.schema_files.lookup import InstalledSchemas
from workers.settings import Settings, load_settings


@st.cache_resource
def client() -> JobClient:
    """The process's client; sessions share it. Raises what `JobClient.connect` raises."""
    return JobClient.connect(settings(), schemas=InstalledSchemas())


@st.cache_resource
def settings() -> Settings:
    """Read once."""
    return load_settings()
