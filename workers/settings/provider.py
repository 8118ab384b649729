"""Which server a base URL names, and the line that says whom a command asks and whose key pays."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from workers.settings.error import SettingsError

if TYPE_CHECKING:
    from workers.settings.declaration import Settings

OPENAI_HOST = "api.openai.com"
STANDIN_PROVIDER = "standin"
LONGEST_PROVIDER = 200
_DEFAULT_PORTS = {"https": 443, "http": 80}


def provider_of(base_url: str, *, setting: str = "OPENAI_BASE_URL") -> str:
    """`http://localhost:8080/v1` -> `localhost:8080`. Two servers never have one name; raises `SettingsError`."""
    bad = SettingsError(f"{setting} is no server's address; it should look like https://host/v1 or http://host:8080/v1")
    try:
        parts = urlsplit(base_url)
        port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    except (ValueError, KeyError):
        raise bad from None
    host = parts.hostname
    if not host or not port or not base_url.isprintable() or " " in base_url:
        raise bad
    shown_host = f"[{host}]" if ":" in host else host
    shown_port = "" if port == _DEFAULT_PORTS["https"] else f":{port}"
    name = f"{shown_host}{shown_port}{_path_prefix(parts.path)}"
    if len(name) > LONGEST_PROVIDER:
        raise SettingsError(f"{setting} is too long; host and path together may have {LONGEST_PROVIDER} characters")
    return name


def _path_prefix(path: str) -> str:
    """`/v1` -> ``, `/api/v1` -> `/api`, `/team/v2` -> `/team/v2`, nothing -> `/`."""
    path = path.rstrip("/")
    return path.removesuffix("/v1") if path == "/v1" or path.endswith("/v1") else path or "/"


def provider_line(settings: Settings) -> str:
    """Which provider is asked, and where its address and the key were found; never the key, nor a password."""
    if settings.offline:
        return "provider: the stand-in on this machine; no grade is real, and no key is used"
    if (account := settings.named_account) is not None:
        address = f"{account.where}: base_url" if account.base_url else "OpenAI's own address"
        return f"account {account.name}: {settings.provider} ({address}), paid with {account.key_line}"
    sources = settings.sources
    address = (
        f"OPENAI_BASE_URL from {sources.get('OPENAI_BASE_URL', 'the program')}"
        if settings.openai_base_url
        else "OpenAI's own address"
    )
    key = f"OPENAI_API_KEY from {sources.get('OPENAI_API_KEY', 'the program')}" if settings.openai_api_key else "no key"
    return f"provider: {settings.provider} ({address}), paid with {key}"
