"""Names of batches that another batch gave rise to."""

from __future__ import annotations

import hashlib

from producer.client import MAX_NAME_LENGTH


def linked_name(batch: str, suffix: str) -> str:
    """The batch's name with a suffix, within the bound; a long name is cut and gets its hash."""
    room = MAX_NAME_LENGTH - len(suffix) - 1
    if len(batch) > room:
        batch = f"{batch[: room - 9]}-{hashlib.sha256(batch.encode()).hexdigest()[:8]}"
    return f"{batch}-{suffix}"
