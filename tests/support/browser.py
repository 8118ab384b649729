"""A real browser: Chromium of the system, driven by Playwright. Skips where there is none, and fails in CI."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

DESKTOP = (1280, 900)
PHONE = (390, 844)
PATIENCE_MILLISECONDS = 240_000


@contextmanager
def open_browser(*, size: tuple[int, int] = DESKTOP) -> Iterator[Page]:
    """One page of a headless Chromium."""
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
        yield page
        browser.close()
