"""The key of a request: whose account it is, and whether it is taken at all."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from ops.standin import errors

if TYPE_CHECKING:
    from aiohttp import web


def key_of(http: web.BaseRequest) -> str:
    """The bearer token; empty where none came."""
    scheme, _, key = http.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def check_key(key: str) -> None:
    """ApiError for no key, a wrong one and one without credit."""
    if not key:
        raise errors.missing_key()
    if key.startswith("sk-bad"):
        raise errors.wrong_key(key)
    if key.startswith("sk-nocredit"):
        raise errors.out_of_credit()


@lru_cache(maxsize=4096)
def account_of(key: str) -> str:
    """A short hash, which statistics and invoices show instead of the key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:12]
