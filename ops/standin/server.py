"""The stand-in's HTTP server around its `Service`. Loopback by default: the control API asks for no key."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ops.standin.chat_request import MAX_TEXT_CHARACTERS
from ops.standin.config import Config
from ops.standin.service import Service
from ops.standin.state import State

if TYPE_CHECKING:
    from asyncio import StreamReader
    from collections.abc import AsyncIterator, Callable

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.web_protocol import RequestHandler

# A prompt of the greatest length OpenAI takes, each character escaped to six bytes, must arrive to be judged.
_MAX_BODY_BYTES = 8 * MAX_TEXT_CHARACTERS
# Above what any test holds in flight: a full backlog would look like a dead provider.
_BACKLOG = 4_096
# A hanging call ends with the server, at once.
_SHUTDOWN_SECONDS = 0.05


class Standin:
    """A running stand-in: where it is, what it counted, and how to change it."""

    def __init__(self, state: State, *, base_url: str) -> None:
        self.state = state
        self.base_url = base_url

    def configure(self, **changes: object) -> Config:
        """Change settings from now on; the names are Config's."""
        return self.state.configure(changes)

    def reset(self) -> None:
        """Forget every count and fill every bucket."""
        self.state.reset()

    async def pass_time(self, seconds: float) -> None:
        """Let the clock jump ahead: what takes that long in the slow lanes has happened."""
        self.state.pass_time(seconds)
        await self.state.backlog.advance()

    def stats(self, *, prompts: bool = False) -> dict[str, Any]:
        """What the control API's stats show; `prompts` adds the counts per prompt hash."""
        return self.state.stats(prompts=prompts)


@asynccontextmanager
async def running(
    config: Config | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Standin]:
    """A stand-in that serves while the block runs; port 0 picks a free one. OSError when the port is taken."""
    state = State(config or Config(), clock=clock)
    server = web.Server(
        Service(state).respond,
        request_factory=_request,  # type: ignore[arg-type]  # its private alias names the C reader only
        handler_cancellation=True,
        access_log=None,
        logger=_http_logger,
    )
    runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        bound_host, bound_port = runner.addresses[0][:2]
        shown_host = f"[{bound_host}]" if ":" in bound_host else bound_host
        yield Standin(state, base_url=f"http://{shown_host}:{bound_port}/v1")
    finally:
        await runner.cleanup()


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message,
        payload,  # type: ignore[arg-type]  # aiohttp's own reader; the standard name stands in its alias
        protocol,
        writer,
        task,
        loop,
        client_max_size=_MAX_BODY_BYTES,
    )


def _is_news(record: logging.LogRecord) -> bool:
    # scripted resets, and clients that leave in the middle of an answer
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectionError))


_http_logger = logging.getLogger(__name__)
_http_logger.addFilter(_is_news)
