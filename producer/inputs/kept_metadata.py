"""What comes with a job and is given back with its outcome, untouched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from producer.inputs.columns import WRITTEN_NUL
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from workers.contract.job import JobSpec


def check_metadata(spec: JobSpec) -> None:
    """Raise `InvalidInput` for metadata that JSON does not hold, and that would not come back as it is."""
    if spec.metadata == {}:
        return
    try:
        written = json.dumps(dict(spec.metadata), ensure_ascii=False, allow_nan=False).encode()
        is_kept = json.loads(written) == spec.metadata and not WRITTEN_NUL.search(written)
    except (TypeError, ValueError, RecursionError):
        is_kept = False
    if not is_kept:
        raise InvalidInput(
            f"metadata of {spec.id!r} would not come back as it is: only text keys, text, finite numbers, true, false, "
            "null, lists and objects are kept"
        )
