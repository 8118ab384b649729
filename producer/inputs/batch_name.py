"""What may be the name of a batch."""

from __future__ import annotations

from workers.contract.errors import InvalidInput
from workers.contract.printable import printable

MAX_NAME_LENGTH = 200


def check_batch_name(name: str) -> None:
    """Raise `InvalidInput` for what no terminal, file or table can show."""
    if not name or len(name) > MAX_NAME_LENGTH:
        raise InvalidInput(f"a batch name must have 1 to {MAX_NAME_LENGTH} characters")
    if printable(name) != name:
        raise InvalidInput("a batch name is one line without control characters; choose another with --name")
