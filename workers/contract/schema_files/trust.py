"""Which schema sources from the store may be executed here. Standard library only.

The store holds what producers put there, and writing to it must not be a right to run code beside the API key. So
a source is executed only on a host where a person named the file to a command of the same data folder, or listed its
digest in GRADEQUEUE_TRUSTED_SCHEMAS. See docs/decisions/0040.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TRUSTED_FILE = "trusted-schemas"
"""In the data folder: one SHA-256 a line."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class SchemaTrust:
    """The digests of one data folder and those that the operator listed; the file is read again when it is asked."""

    def __init__(self, data_dir: Path, listed: str = "") -> None:
        self._file = data_dir.expanduser().absolute() / TRUSTED_FILE
        self._listed = frozenset(_DIGEST.findall(listed.lower()))

    def allows(self, digest: str) -> bool:
        """Whether this source may be executed."""
        return digest in self._listed or digest in self._kept()

    def add(self, digest: str) -> None:
        """A person named this file here: workers of the data folder may execute it. Raises `OSError`."""
        if self.allows(digest):
            return
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._file.open("a", encoding="ascii") as file:
            file.write(f"{digest}\n")

    def _kept(self) -> frozenset[str]:
        try:
            return frozenset(_DIGEST.findall(self._file.read_text(encoding="ascii", errors="replace")))
        except OSError:
            return frozenset()
