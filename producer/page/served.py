"""The page with its door, as an ASGI application: `gradequeue dashboard` has Streamlit serve it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from producer.page.door import UploadDoor
from workers.settings import load_settings

_settings = load_settings()
_needs_no_login = _settings.dashboard_password is None and _settings.oidc_secrets is None

app = st.App(
    Path(__file__).with_name("app.py"),
    middleware=[Middleware(UploadDoor, is_open=lambda: _needs_no_login)],
)
