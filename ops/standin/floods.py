"""Answers without end, for tests of what a client puts up with: bounded, and stopped as soon as the client leaves."""

from __future__ import annotations

import zlib
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING

from aiohttp import web

from ops.standin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

_PIECE = b" " * (1024 * 1024)
# Far above what a test may use, far below what a machine has.
_PIECES = 300


async def send_flood(fault: Fault, http: web.BaseRequest, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send 300 MiB of blanks, as they are in chunks, or packed into 300 KiB."""
    response = web.StreamResponse(headers=dict(headers))
    response.content_type = "application/json"
    is_packed = fault is Fault.PACKED_FLOOD
    if is_packed:
        response.headers["Content-Encoding"] = "gzip"
    await response.prepare(http)
    if is_packed:
        await response.write(_GZIP_START)
    for piece in repeat(_packed() if is_packed else _PIECE, _PIECES):
        await response.write(piece)
    await response.write_eof()
    return response


# Without the sum that ends a gzip body: who unpacks to its end has gone too far already.
_GZIP_START = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


@cache
def _packed() -> bytes:
    """One piece, packed on its own, so that it can follow itself and costs the server's other calls no time."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(_PIECE) + packer.flush(zlib.Z_FULL_FLUSH)
