"""Receivers of notifications on this machine: a web server and a mail server that keep what they were sent."""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterator


@dataclass(slots=True)
class Hook:
    """A web server that answers with a status, after `before_answer`."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    before_answer: Callable[[], object] = lambda: None
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """Headers, in lower case, and body of each request."""
    url: str = ""


@contextmanager
def hook_server(hook: Hook) -> Iterator[Hook]:
    """Serve `hook` on a port of this machine until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            hook.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            hook.before_answer()
            self.send_response(hook.status)
            for name, value in hook.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with _served(server):
        hook.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        yield hook


@dataclass(slots=True)
class MailBox:
    """A mail server that takes one login, and answers `refusals` by command instead."""

    offers: tuple[str, ...] = ()
    refusals: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    """STARTTLS is offered with it."""
    commands: list[str] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    is_encrypted: bool = False
    port: int = 0


@contextmanager
def mail_server(box: MailBox) -> Iterator[MailBox]:
    """Serve `box` on a port of this machine until the block ends."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            _converse(box, self.request)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with _served(server):
        box.port = server.server_address[1]
        yield box


def _converse(box: MailBox, plain: socket.socket) -> None:
    connection, stream = plain, plain.makefile("rwb")

    def say(*lines: str) -> None:
        stream.write("".join(f"{line}\r\n" for line in lines).encode())
        stream.flush()

    say("220 ready")
    while line := stream.readline().decode().strip():
        word = line.split()[0].upper()
        box.commands.append(line)
        if word in box.refusals:
            say(box.refusals[word])
        elif word == "EHLO":
            offers = [*box.offers, *(["STARTTLS"] if box.tls and not box.is_encrypted else [])]
            say("250-here", *(f"250-{offer}" for offer in offers), "250 OK")
        elif word == "STARTTLS" and box.tls is not None:
            say("220 go ahead")
            try:
                connection = box.tls.wrap_socket(connection, server_side=True)
            except OSError:  # the client does not trust it
                return
            stream, box.is_encrypted = connection.makefile("rwb"), True
        elif word == "DATA":
            say("354 go on")
            box.letters.append(b"".join(iter(stream.readline, b".\r\n")).decode())
            say("250 taken")
        elif word == "QUIT":
            say("221 bye")
            break
        else:
            say("235 in" if word == "AUTH" else "250 OK")
    stream.close()
    connection.close()


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
