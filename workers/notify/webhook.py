"""A signed POST, as the Standard Webhooks specification 1.0.0 describes it: `webhook-id`, `-timestamp`, `-signature`.

The receiver computes HMAC-SHA256 over `id.timestamp.body` with the shared secret, and refuses an old timestamp. A
redirect is a failure: a message goes where the operator said, nowhere else. The answer's body is not read.

*Source*: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, version 1.0.0 (read November 2026).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx2

from workers.contract.notification import sentence
from workers.notify.failure import NotSent

if TYPE_CHECKING:
    from workers.notify.sending import Message

SECRET_PREFIX = "whsec_"  # noqa: S105 - how every such secret begins
LEAST_SECRET_BYTES, MOST_SECRET_BYTES = 24, 64
WHOLE_SECONDS = 15.0
"""From the look-up of the name to the answer's first line; a receiver that trickles gets no longer."""
GONE = 410
"""The receiver says that it wants no more (the same specification)."""


def post(message: Message, url: str, *, secret: str | None) -> None:
    """Raises `NotSent` unless the receiver answers with a 2xx."""
    key = signing_key(secret)
    body = json.dumps(body_of(message), separators=(",", ":"), ensure_ascii=False).encode()
    sent_at = int(time.time())
    message_id = f"msg_{message.id}"
    headers = {
        "content-type": "application/json",
        "user-agent": "gradequeue",
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": signature(key, message_id, sent_at, body),
    }
    try:
        status = asyncio.run(_status(url, body, headers))
    except TimeoutError:
        raise NotSent(f"no answer within {WHOLE_SECONDS:.0f} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        raise NotSent(f"not reached ({type(error).__name__})") from None
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's own bounds, as below
        raise NotSent(
            f"the receiver answered {status}: a redirect, which is not followed; give the address it leads to"
        )
    if not 200 <= status < 300:  # noqa: PLR2004
        raise NotSent(f"the receiver answered {status}", is_final=status == GONE)


async def _status(url: str, body: bytes, headers: dict[str, str]) -> int:
    async with (
        asyncio.timeout(WHOLE_SECONDS),
        httpx2.AsyncClient(timeout=WHOLE_SECONDS, follow_redirects=False) as client,
        client.stream("POST", url, content=body, headers=headers) as response,
    ):
        return response.status_code


def body_of(message: Message) -> dict[str, object]:
    """`type`, `timestamp` and `data`, and `text`: the same in one sentence, which chat services show."""
    happened_at = datetime.fromtimestamp(message.happened_at, UTC)
    return {
        "type": message.happening,
        "timestamp": happened_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": dict(message.content),
        "text": sentence(message.happening, message.content),
    }


def signing_key(secret: str | None) -> bytes:
    """The secret's bytes; `NotSent` when there is none, or it is none of this scheme."""
    if not secret:
        raise NotSent("GRADEQUEUE_NOTIFY_SECRET is not set: a webhook is not sent unsigned")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not LEAST_SECRET_BYTES <= len(key) <= MOST_SECRET_BYTES:
        raise NotSent(
            f"GRADEQUEUE_NOTIFY_SECRET is not `{SECRET_PREFIX}` and base64 of {LEAST_SECRET_BYTES} to "
            f"{MOST_SECRET_BYTES} bytes; make one with: echo {SECRET_PREFIX}$(openssl rand -base64 32)"
        )
    return key


def signature(key: bytes, message_id: str, sent_at: int, body: bytes) -> str:
    """The value of `webhook-signature`: version 1 of the scheme."""
    signed = hmac.new(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
