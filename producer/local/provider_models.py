"""Asks the provider which models it serves and until when. One free request, without any student work."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2

from workers.contract.errors import InvalidInput, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.settings import Settings

PROVIDER_SECONDS = 10.0
MOST_BYTES = 4 * 1024 * 1024
"""OpenAI's list has about a hundredth of it; a longer answer is not a list of models."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def listed_models(settings: Settings) -> list[dict[str, object]]:
    """The entries of `GET /models`. Raises `InvalidInput` for settings and `ServiceUnavailable` for the rest."""
    named = settings.named_account
    key_name, url_name = ("OPENAI_API_KEY", "OPENAI_BASE_URL") if named is None else (named.where, named.where)
    if settings.api_key is None:
        raise InvalidInput("OPENAI_API_KEY is not set" if named is None else f"{named.where}: {named.key_line}")
    base_url = (settings.base_url or "https://api.openai.com/v1").rstrip("/")
    if urlsplit(base_url).scheme not in {"http", "https"}:
        raise InvalidInput(f"{url_name} must look like https://host/v1")
    try:
        status, body = _get(f"{base_url}/models", key=settings.api_key.get_secret_value())
        content = json.loads(body) if status < httpx2.codes.MULTIPLE_CHOICES else None
    except ValueError:
        raise ServiceUnavailable("provider", f"{settings.provider} does not answer with a list of models") from None
    except (httpx2.HTTPError, httpx2.InvalidURL):
        message = f"{settings.provider} cannot be reached; check {url_name} and the network"
        raise ServiceUnavailable("provider", message) from None
    if status >= httpx2.codes.MULTIPLE_CHOICES:
        is_login = status in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}
        advice = f"check {key_name if is_login else url_name}"
        raise ServiceUnavailable("provider", f"{settings.provider} answers {status}: {advice}")
    entries = content.get("data") if isinstance(content, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _get(url: str, *, key: str) -> tuple[int, bytes]:
    """Status and the start of the body. Redirects are not followed: the key goes to the host that was named alone."""
    headers = {"Authorization": f"Bearer {key}"}
    with (
        httpx2.Client(timeout=PROVIDER_SECONDS, follow_redirects=False) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        body = b""
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                break
    return answer.status_code, body


def shutdown_dates(settings: Settings) -> dict[str, str | None]:
    """Model to shutdown date (YYYY-MM-DD, None when none is announced), as far as the provider says.

    *Source*: openai 3.54, types/model.py: `shutdown_date`.
    """
    return {
        str(entry["id"]): shutdown_date(entry)
        for entry in listed_models(settings)
        if "id" in entry and "shutdown_date" in entry
    }


def shutdown_date(entry: Mapping[str, object]) -> str | None:
    """When the provider stops answering for the model of one entry; None where it does not say."""
    value = entry.get("shutdown_date")
    return value[:10] if isinstance(value, str) and _DATE.match(value) else None
