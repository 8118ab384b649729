"""A proxy before PostgreSQL that cuts connections at COMMIT: before it arrives, or between it and its answer."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = b"COMMIT\0"


class CuttingProxy:
    """Passes everything on, but for the next COMMITs of which `cuts` speaks."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.port = 0
        self.cuts: list[bool] = []
        """One for each of the next COMMITs: True executes it and loses the answer, False loses it."""

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(*self._server)
        answers = asyncio.create_task(_pass_on(server, to_client))
        with suppress(ConnectionError):
            while words := await client.read(65_536):
                if words.endswith(COMMIT) and self.cuts:
                    answers.cancel()
                    with suppress(asyncio.CancelledError):
                        await answers
                    if self.cuts.pop(0):
                        to_server.write(words)
                        await server.read(1)  # executed
                    break
                to_server.write(words)
        answers.cancel()
        to_server.transport.abort()
        to_client.transport.abort()


async def _pass_on(server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while words := await server.read(65_536):
            to_client.write(words)
    to_client.close()


@contextmanager
def cutting_proxy(host: str, port: int) -> Iterator[CuttingProxy]:
    """One that listens, on a thread of its own."""
    proxy, loop, is_ready = CuttingProxy(host, port), asyncio.new_event_loop(), threading.Event()

    async def run() -> None:
        listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        proxy.port = listener.sockets[0].getsockname()[1]
        is_ready.set()
        async with listener:
            await listener.serve_forever()

    main = loop.create_task(run())

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner, suppress(asyncio.CancelledError):
            runner.get_loop().run_until_complete(main)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    is_ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(main.cancel)
        thread.join(10)
