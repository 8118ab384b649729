"""A provider that is not the stand-in: it answers as the stand-in does, without saying so.

Grades of the stand-in are never released, so a test of the way to a release needs answers that nobody marks.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def unnamed_provider(standin_url: str) -> Iterator[str]:
    """Base URL of the server, which ends with the block."""

    class Forward(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            url = standin_url.removesuffix("/v1") + self.path
            headers = {"content-type": "application/json", "authorization": self.headers.get("authorization", "")}
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:  # noqa: S310 - loopback
                    status, kind, content = answer.status, answer.headers["content-type"], answer.read()
            except urllib.error.HTTPError as error:
                status, kind, content = error.code, error.headers["content-type"], error.read()
            written = _events(content) if kind.startswith("text/event-stream") else _unnamed(content)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, *_arguments: object) -> None:
            """Nothing: tests read the output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _events(content: bytes) -> bytes:
    """The events of a streamed reply."""
    lines = content.split(b"\n")
    mark = b"data: "
    return b"\n".join(
        mark + _unnamed(line.removeprefix(mark)) if line.startswith(mark + b"{") else line for line in lines
    )


def _unnamed(content: bytes) -> bytes:
    reply = json.loads(content)
    reply.pop("system_fingerprint", None)
    return json.dumps(reply).encode()
