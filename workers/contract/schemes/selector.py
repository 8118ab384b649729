"""`FILE#selector` of an option: which rubric or catalogue of a file is meant."""

from __future__ import annotations

from pathlib import Path


def split_option(option: str) -> tuple[Path, str | None]:
    """Split `FILE#selector`; a file whose own name holds a `#` is found first."""
    if "#" not in option or Path(option).exists():
        return Path(option), None
    path, _, selector = option.rpartition("#")
    return Path(path), selector.strip() or None
