"""A real browser: Chromium of the system, driven by Playwright. Skips where there is none, and fails in CI."""

from __future__ import annotations

import os
import shutil
from collections import deque
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from playwright.sync_api import WebSocket

DESKTOP = (1280, 900)
PHONE = (390, 844)
PATIENCE_MILLISECONDS = 240_000
MOST_TOLD_LETTERS = 3000
MOST_TOLD_EVENTS = 20


@contextmanager
def open_browser(*, size: tuple[int, int] = DESKTOP) -> Iterator[Page]:
    """One page of a headless Chromium. A failure in the block tells what the page showed then."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no Chromium, and in CI there must be")
        pytest.skip("there is no Chromium on this machine")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        page = browser.new_page(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        events = _events_of(page)
        try:
            yield page
        except Exception as error:
            error.add_note(_shown(page, events))
            raise
        browser.close()


def _events_of(page: Page) -> deque[str]:
    """The last of what the page complained of, and when its connection to the server began and ended."""
    events: deque[str] = deque(maxlen=MOST_TOLD_EVENTS)

    def note(what: str) -> None:
        events.append(f"{datetime.now(UTC):%H:%M:%S} {what}")

    def note_socket(socket: WebSocket) -> None:
        note("connection opened")
        socket.on("close", lambda _socket: note("connection closed"))

    page.on("websocket", note_socket)
    page.on("console", lambda said: note(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: note(str(error)))
    return events


def _shown(page: Page, events: Iterable[str]) -> str:
    try:
        text = page.locator("body").inner_text(timeout=5_000)
    except PlaywrightError as error:
        text = f"nothing that can be read: {error.message}"
    return "\n".join([f"{datetime.now(UTC):%H:%M:%S} at {page.url} the page shows:", text[:MOST_TOLD_LETTERS], *events])
