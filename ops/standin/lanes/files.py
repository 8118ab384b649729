"""The files of each account: uploaded inputs of batches, and what batches answer.

*Source*: openai 3.54, types/file_object.py and file_list_params.py; OpenAI, "Batch API", limits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ops.standin.errors import ApiError, bad_request
from ops.standin.parameters import unsupported_choice

if TYPE_CHECKING:
    from aiohttp import web

MAX_BATCH_BYTES = 200_000_000
_MAX_FILE_BYTES = 512_000_000
_PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file; `created_at` is seconds since the epoch."""

    file_id: str
    account: str
    filename: str
    purpose: str
    created_at: int
    content: bytes = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": self.file_id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "expires_at": None,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """Every file of every account; one account never sees another's."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}

    def __len__(self) -> int:
        return len(self._files)

    def add(self, account: str, *, filename: str, purpose: str, content: bytes, created_at: int) -> StoredFile:
        """Keep a file under a new id."""
        stored = StoredFile(f"file-{os.urandom(11).hex()}", account, filename, purpose, created_at, content)
        self._files[stored.file_id] = stored
        return stored

    def find(self, account: str, file_id: str) -> StoredFile | None:
        """The account's file of this id."""
        stored = self._files.get(file_id)
        return stored if stored is not None and stored.account == account else None

    def get(self, account: str, file_id: str) -> StoredFile:
        """As `find`; ApiError 404 where there is none."""
        stored = self.find(account, file_id)
        if stored is None:
            raise ApiError(404, f"No such File object: {file_id}", param="id")
        return stored

    def delete(self, account: str, file_id: str) -> dict[str, Any]:
        """Forget a file; ApiError 404 where there is none."""
        del self._files[self.get(account, file_id).file_id]
        return {"id": file_id, "object": "file", "deleted": True}

    def of(self, account: str) -> list[StoredFile]:
        """The account's files, oldest first."""
        return [stored for stored in self._files.values() if stored.account == account]


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart form, read."""

    filename: str
    purpose: str
    content: bytes = field(repr=False)


async def read_upload(http: web.BaseRequest) -> Upload:
    """The file and its purpose; ApiError 400 for what OpenAI refuses."""
    if not http.content_type.startswith("multipart/"):
        raise bad_request("'file' is a required property", param="file")
    purpose, filename, content = "", "", None
    async for part in await http.multipart():
        name = getattr(part, "name", None)
        if name == "purpose":
            purpose = (await part.read()).decode("utf-8", "replace")  # type: ignore[union-attr]
        elif name == "file":
            filename = getattr(part, "filename", None) or "upload"
            content = await _read_bounded(part)
    if content is None:
        raise bad_request("'file' is a required property", param="file")
    if purpose not in _PURPOSES:
        raise unsupported_choice("purpose", value=purpose, choices=_PURPOSES)
    if purpose == "batch" and len(content) > MAX_BATCH_BYTES:
        raise bad_request("File is too large.")
    if purpose == "batch" and not filename.endswith(".jsonl"):
        message = f"Invalid file format for Batch API. Must be .jsonl, but got {filename}"
        raise bad_request(message, param="file", code="invalid_file_format")
    return Upload(filename, purpose, content)


async def _read_bounded(part: Any) -> bytes:
    content = bytearray()
    while piece := await part.read_chunk(256 * 1024):
        content += piece
        if len(content) > _MAX_FILE_BYTES:
            raise ApiError(413, "The file is too large.", code="file_too_large")
    return bytes(content)


def page_of(objects: list[dict[str, Any]], query: Any, *, most: int, default: int) -> dict[str, Any]:
    """One page of a list that is given in the order of the answer; ApiError 400 for a limit out of range."""
    text = query.get("limit", str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise bad_request(f"Invalid 'limit': expected a whole number from 1 to {most}.", param="limit")
    start = 0
    after = query.get("after")
    if after:
        ids = [each["id"] for each in objects]
        if after not in ids:
            raise bad_request(f"Invalid 'after': no object has the id '{after}'.", param="after")
        start = ids.index(after) + 1
    page = objects[start : start + int(text)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": start + len(page) < len(objects),
    }
