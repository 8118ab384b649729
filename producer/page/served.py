"""The page with its door, as an ASGI application: `gradequeue dashboard` has Streamlit serve it.

What the page needs is loaded before it listens, else the first person to open it waits for a second or two.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Thread

import streamlit as st
from starlette.middleware import Middleware

from producer.client import JobClient
from producer.page import batch_list, batch_page, new_batch, student_page
from producer.page.door import UploadDoor
from workers.contract.errors import GradequeueError
from workers.settings import load_settings

LOADED = (new_batch, batch_list, batch_page, student_page)
"""The pages, which `app.py` imports again with every drawing."""

_settings = load_settings()
_needs_no_login = _settings.dashboard_password is None and _settings.oidc_secrets is None


def _look_once() -> None:
    """What a first connection loads; who opens the page connects for himself, and is told when that fails."""
    with suppress(GradequeueError):
        JobClient.connect(_settings).close()


Thread(target=_look_once, daemon=True).start()

app = st.App(
    Path(__file__).with_name("app.py"),
    middleware=[Middleware(UploadDoor, is_open=lambda: _needs_no_login)],
)
