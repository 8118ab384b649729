"""The page with its door, as an ASGI application: `gradequeue dashboard` has Streamlit serve it.

What the page needs is loaded and looked at once while it starts, else the first person to open it waits for that.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Thread

import streamlit as st
import streamlit.material_icon_names
from starlette.middleware import Middleware

from producer.page import batch_list, batch_page, login, new_batch, services, student_page
from producer.page.door import UploadDoor
from producer.page.students import PER_PAGE
from producer.review.glance import Choice
from producer.review.opening import board_of
from workers.contract.errors import GradequeueError
from workers.settings import load_settings

LOADED = (new_batch, batch_list, batch_page, student_page, login)
"""The pages, which `app.py` imports again with every drawing."""

_settings = load_settings()
_needs_no_login = _settings.dashboard_password is None and _settings.oidc_secrets is None


def _look_once() -> None:
    """Ask for what the newest batch's page asks for.

    The client is the one that sessions share, so that its connections are open and its statements prepared. When that
    fails, nothing is kept: each visit connects for itself, and shows the error.
    """
    with suppress(GradequeueError):
        client = services.client()
        for batch in client.batches(at_most=1):
            board = board_of(client, batch.name)
            board.glance()
            board.students(Choice(), at_most=PER_PAGE)
            board.count_students(Choice())


Thread(target=_look_once, daemon=True).start()

app = st.App(
    Path(__file__).with_name("app.py"),
    middleware=[Middleware(UploadDoor, is_open=lambda: _needs_no_login)],
)
