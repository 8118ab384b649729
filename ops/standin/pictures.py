"""Pictures as content parts: what they count, and what OpenAI refuses. Only data URLs: the stand-in fetches nothing.

*Source*: OpenAI, "Images and vision": calculating costs; messages of its refusals as callers report them (2024-2026).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from typing import TYPE_CHECKING, Any

from ops.standin.errors import bad_request
from ops.standin.parameters import missing, unsupported_choice

if TYPE_CHECKING:
    from ops.standin.models import Model

_DATA_URL = re.compile(r"data:image/(?:png|jpeg|jpg|gif|webp);base64,(?P<data>[A-Za-z0-9+/=\s]*)")
_DETAILS = ("low", "high", "auto")
_PNG, _GIF, _JPEG = b"\x89PNG\r\n\x1a\n", b"GIF8", b"\xff\xd8"
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG markers whose segment holds the size."""
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xDA)})
_UNSUPPORTED = (
    "You uploaded an unsupported image. Please make sure your image has of one the following formats: "
    "['png', 'jpeg', 'gif', 'webp']."
)


def picture_part_tokens(part: dict[str, Any], *, role: str, model: Model, name: str) -> int:
    """What an `image_url` part counts as input; ApiError where OpenAI refuses it."""
    if role != "user":
        message = name.partition(".")[0]
        raise bad_request(
            f"Invalid '{message}'. Image URLs are only allowed for messages with role 'user', but this message with "
            f"role '{role}' contains an image URL.",
            param=message,
            code="invalid_value",
        )
    if model.picture_tile_tokens is None:
        raise bad_request("Invalid content type. image_url is only supported by certain models.", param=f"{name}.type")
    given = part.get("image_url")
    if not isinstance(given, dict) or not isinstance(given.get("url"), str):
        raise missing(f"{name}.image_url.url")
    detail = given.get("detail") or "auto"
    if detail not in _DETAILS:
        raise unsupported_choice(f"{name}.image_url.detail", value=str(detail), choices=_DETAILS)
    width, height = _size(given["url"])
    return model.picture_base_tokens if detail == "low" else _tokens(width, height, model)


def _tokens(width: int, height: int, model: Model) -> int:
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    tiles = math.ceil(width * scale / 512) * math.ceil(height * scale / 512)
    return model.picture_base_tokens + tiles * (model.picture_tile_tokens or 0)


def _size(url: str) -> tuple[int, int]:
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise bad_request(
            "Invalid image URL: the stand-in takes pictures as data URLs alone.", code="invalid_image_url"
        )
    try:
        content = base64.b64decode(found["data"], validate=True)
        size = _size_of(content)
    except (binascii.Error, struct.error, IndexError):
        size = None
    if size is None or not all(size):
        raise bad_request(_UNSUPPORTED, code="image_parse_error")
    return size


def _size_of(content: bytes) -> tuple[int, int] | None:
    if content.startswith(_PNG):
        return struct.unpack(">II", content[16:24])
    if content.startswith(_GIF):
        return struct.unpack("<HH", content[6:10])
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp_size(content)
    return _jpeg_size(content) if content.startswith(_JPEG) else None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    if content[12:16] == b"VP8X":
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    if content[12:16] == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", content[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    at = 2
    while content[at] == 0xFF:  # noqa: PLR2004 - each segment begins so
        marker = content[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 if marker in _WITHOUT_LENGTH else 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
    return None
