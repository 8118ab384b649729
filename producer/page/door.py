"""Who may upload, and who may guess: both are bounded before anything is kept.

Streamlit's server takes an upload from every open session, whatever the page draws for it, and keeps it in memory. The
middleware here refuses it before the body is read, unless the page has let that session in.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse
from streamlit.runtime import Runtime

from producer.page.limits import MAX_HELD_MIB, MAX_UPLOAD_MIB

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

UPLOADS = "/_stcore/upload_file/"
MOST_REMEMBERED = 10_000
"""Sessions and addresses; the oldest are forgotten, for a door must not fill the memory either."""
FREE_GUESSES = 5
LONGEST_WAIT_SECONDS = 60.0
FORGOTTEN_AFTER_SECONDS = 900.0
_OVERHEAD_BYTES = 1 << 16
"""What a form adds to the file it holds."""


@dataclass(slots=True)
class Admitted:
    """Sessions that gave the password. Threads share it."""

    _sessions: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, session_id: str) -> None:
        """Let this session upload from now on."""
        with self._lock:
            self._sessions[session_id] = None
            self._sessions.move_to_end(session_id)
            while len(self._sessions) > MOST_REMEMBERED:
                self._sessions.popitem(last=False)

    def __contains__(self, session_id: str) -> bool:
        with self._lock:
            return session_id in self._sessions


admitted = Admitted()
"""Of this process: Streamlit runs the page's script and the middleware in one."""


@dataclass(slots=True)
class _Guesses:
    wrong: int = 0
    next_at: float = 0.0
    last_at: float = 0.0


@dataclass(slots=True)
class GuessThrottle:
    """How soon an address may guess again. Wrong guesses from one address delay no other address."""

    clock: Callable[[], float] = time.monotonic
    _guesses: OrderedDict[str, _Guesses] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait_seconds(self, address: str | None) -> float:
        """0 when a guess from there is looked at now."""
        with self._lock:
            found = self._of(address)
            return max(0.0, found.next_at - self.clock()) if found else 0.0

    def failed(self, address: str | None) -> None:
        """After some wrong guesses the wait doubles with each."""
        with self._lock:
            found = self._of(address) or _Guesses()
            found.wrong += 1
            found.last_at = self.clock()
            if found.wrong >= FREE_GUESSES:
                found.next_at = found.last_at + min(2.0 ** (found.wrong - FREE_GUESSES), LONGEST_WAIT_SECONDS)
            self._guesses[_network(address)] = found
            self._guesses.move_to_end(_network(address))
            while len(self._guesses) > MOST_REMEMBERED:
                self._guesses.popitem(last=False)

    def succeeded(self, address: str | None) -> None:
        """The right password clears what was counted."""
        with self._lock:
            self._guesses.pop(_network(address), None)

    def _of(self, address: str | None) -> _Guesses | None:
        found = self._guesses.get(_network(address))
        return found if found and self.clock() - found.last_at < FORGOTTEN_AFTER_SECONDS else None


def _network(address: str | None) -> str:
    """One host's address; of IPv6 the network, because a host has as many addresses there as it likes."""
    try:
        parsed = ipaddress.ip_address(address or "127.0.0.1")
    except ValueError:
        return "unknown"
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)  # noqa: PLR2004


class UploadDoor:
    """ASGI middleware before Streamlit's own routes."""

    def __init__(self, app: ASGIApp, *, is_open: Callable[[], bool]) -> None:
        self._app = app
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but an upload that may not be."""
        if scope["type"] == "http" and UPLOADS in scope["path"] and scope["method"] not in {"OPTIONS", "GET", "HEAD"}:
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        session_id = scope["path"].partition(UPLOADS)[2].partition("/")[0]
        if not self._is_open() and session_id not in admitted:
            return PlainTextResponse("enter the password first", status_code=403)
        if scope["method"] != "PUT":
            return None
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            return PlainTextResponse("the upload has no Content-Length", status_code=411)
        if int(length) > MAX_UPLOAD_MIB * 2**20 + _OVERHEAD_BYTES:
            return PlainTextResponse(f"an upload may have at most {MAX_UPLOAD_MIB} MiB", status_code=413)
        if int(length) + _held_bytes() > MAX_HELD_MIB * 2**20:
            return PlainTextResponse("too many uploads are in progress; try again later", status_code=503)
        return None


def _held_bytes() -> int:
    """What Streamlit keeps of all sessions' uploads."""
    manager: Any = Runtime.instance().uploaded_file_mgr if Runtime.exists() else None
    sessions = list(getattr(manager, "file_storage", {}).values())
    return sum(len(file.data) for files in sessions for file in list(files.values()))
