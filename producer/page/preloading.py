"""The parts of Streamlit's own page that a batch's page draws with, named to the browser before it asks for them.

Streamlit's front end loads a part (a button, a number, a field) when the first of its kind is drawn: one round trip
after the other, each to a server that is drawing the page meanwhile. A `Link` header names them all with the document.
It says nothing else, and where Streamlit's files are laid out in another way, there is no header.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit
from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PARTS = ("Html", "Button", "Progress", "Metric", "DownloadButton", "Selectbox", "TextInput")
"""In the order in which a batch's page draws them first."""
MOST_BYTES = 3_500
"""Of the header: proxies keep 4 kB for all headers of an answer."""
_STATIC = Path(streamlit.__file__).with_name("static")
_IMPORTED = re.compile(r'(?:from|import)\s*"\./([\w.-]+\.js)"')
_OF_THE_DOCUMENT = re.compile(r'"\./static/js/([\w.-]+\.js)"')


class Preloading:
    """Adds the header to documents."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._links = links()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or not self._links:
            await self._app(scope, receive, send)
            return

        async def with_links(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("link", self._links)
            await send(message)

        await self._app(scope, receive, with_links)


def links(static: Path = _STATIC) -> str:
    """The header's value; empty when a part is not found or the value would be too long."""
    folder = static / "static" / "js"
    try:
        document = (static / "index.html").read_text(encoding="utf-8")
        known = _with_imports(folder, _OF_THE_DOCUMENT.findall(document))
        parts = [next(folder.glob(f"{part}.*.js")).name for part in PARTS]
        wanted = [name for name in _with_imports(folder, parts) if name not in known]
    except (OSError, StopIteration):
        return ""
    value = ", ".join(f"<./static/js/{name}>; rel=modulepreload" for name in wanted)
    return value if len(value) <= MOST_BYTES else ""


def _with_imports(folder: Path, names: list[str]) -> dict[str, None]:
    """These files and what they import, those first that are named first."""
    found: dict[str, None] = {}
    waiting = names[::-1]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += _IMPORTED.findall((folder / name).read_text(encoding="utf-8"))[::-1]
    return found
