"""Time until a browser shows a batch's numbers and its first students, from a page that runs already."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from ops.bench.processes import free_port

OPENINGS = 5
_PATIENCE_MILLISECONDS = 60_000


@dataclass(frozen=True, slots=True)
class Painted:
    """Seconds from the address to the first students: the first opening of all, and the median of the others."""

    cold_seconds: float
    warm_seconds: float


def first_paint(database_url: str, batch: str) -> Painted | None:
    """Start the page on this store and open the batch a few times; None without Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        return None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gq-bench-") as folder:
        environment = {**os.environ, "DATABASE_URL": database_url, "GRADEQUEUE_DATA_DIR": folder}
        command = [sys.executable, "-m", "producer.cli.main", "dashboard", "--port", str(port)]
        page = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            _wait_for(port)
            seconds = _openings(chromium, f"http://127.0.0.1:{port}/batches?batch={batch}")
        finally:
            page.terminate()
            page.wait()
    return Painted(seconds[0], sorted(seconds[1:])[len(seconds[1:]) // 2])


def _openings(chromium: str, url: str) -> list[float]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - measured only where there is a browser

    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        page.set_default_timeout(_PATIENCE_MILLISECONDS)
        for _ in range(OPENINGS):
            began = time.perf_counter()
            page.goto(url)
            page.get_by_text("in this list").wait_for()
            found.append(time.perf_counter() - began)
        browser.close()
    return found


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_MILLISECONDS / 1000
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the page did not start")
