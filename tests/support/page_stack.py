"""The local stack with its page, as tests use it."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from producer.client import JobClient
from tests.support.command_line import StandinServer
from tests.support.local_stack.stack import LocalStack
from tests.support.places import SHARED_DATA
from workers.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page


PASSWORD = "letters0and0digits"
MARKER = "XMARKERX"


class Stack(LocalStack):
    """The stack with what tests ask of it."""

    @property
    def page_url(self) -> str:
        return f"http://{self.address('dashboard', 8501)}"

    @property
    def standin(self) -> StandinServer:
        return StandinServer(f"http://{self.address('standin', 8080)}/v1", None)  # type: ignore[arg-type]

    @contextmanager
    def client(self) -> Iterator[JobClient]:
        told = self.environment("dashboard")
        settings = load_settings(redis_url=told["REDIS_URL"], database_url=told["DATABASE_URL"], offline=True)
        client = JobClient.connect(settings)
        try:
            yield client
        finally:
            client.close()

    @contextmanager
    def told(self) -> Iterator[None]:
        """A failure in the block tells how far every batch was then, and which services had ended."""
        try:
            yield
        except Exception as error:
            with self.client() as client:
                batches = [f"{each.name}: {client.batch(each.name).progress()}" for each in client.batches()]
            ended = [f"{name} ended" for name in self.ended()]
            error.add_note("\n".join([f"{datetime.now(UTC):%H:%M:%S} the store says:", *batches, *ended]))
            raise

    def flower(self, path: str, *, auth: str | None = f"operator:{PASSWORD}", method: str = "GET") -> tuple[int, str]:
        request = urllib.request.Request(f"http://{self.address('flower', 5555)}{path}", method=method)
        if auth is not None:
            request.add_header("Authorization", f"Basic {base64.b64encode(auth.encode()).decode()}")
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310 - http on loopback
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def programs(count: int) -> dict[str, str]:
    """Real programs where they are at hand, each with the marker."""
    file = SHARED_DATA / "nus_python_q1.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()[:count]] if file.exists() else []
    made_up = [
        {"id": f"s{number:03d}", "code": f"def f():\n    return {number}\n"} for number in range(len(rows), count)
    ]
    return {row["id"].replace("/", "_"): f"{row['code']}\n# {MARKER}\n" for row in rows + made_up}


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return buffer.getvalue()


def enter(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("Your name").fill("Kim")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Enter").click()


def upload(page: Page, *files: tuple[str, bytes]) -> None:
    page.locator("input[type=file]").first.set_input_files(
        [{"name": name, "mimeType": "application/octet-stream", "buffer": content} for name, content in files]
    )


def finished(stack: Stack, name: str) -> bool:
    with stack.client() as client:
        return any(each.name == name and each.is_finished for each in client.batches())


def batch_names(stack: Stack) -> list[str]:
    with stack.client() as client:
        return [each.name for each in client.batches()]
