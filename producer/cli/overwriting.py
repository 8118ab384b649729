"""What --out may not replace: anything else that the same command was given, and any database.

One look for every command, at whatever parameters it declares, so that none can forget one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OUT = "out_path"
_NOT_READ = frozenset({OUT, "data_dir"})
"""The data folder holds the store, which `_is_database` guards, and no submissions."""
_SQLITE = b"SQLite format 3\x00"
"""*Source*: sqlite.org/fileformat2, 1.3.1, "Magic Header String"."""


def refuse_overwriting(given: Mapping[str, object]) -> None:
    """Raises `InvalidInput` when the command's `out_path` is a file that it reads, or lies in a folder that it reads.

    A result file among submissions would be graded as one by the next run.
    """
    out = given.get(OUT)
    if not isinstance(out, Path):
        return
    target = out.expanduser().resolve()
    for path in _named_paths(given):
        if path.is_dir() and target.is_relative_to(path):
            raise InvalidInput(
                f"it would be one of the files in {path}; give a file in another folder", where=_where(out)
            )
        if path == target and path.exists():
            raise InvalidInput("this command reads that file; give another one", where=_where(out))
    if _is_database(target):
        raise InvalidInput("that file is a database; give another one", where=_where(out))


def _named_paths(given: Mapping[str, object]) -> Iterator[Path]:
    """Paths, and texts that are the path of something, with or without `#ID` or `:Model` behind it."""
    for name, value in given.items():
        if name in _NOT_READ:
            continue
        if isinstance(value, Path):
            yield value.expanduser().resolve()
        elif isinstance(value, str):
            yield from (Path(text).expanduser().resolve() for text in _beginnings(value) if _exists(text))


def _beginnings(text: str) -> set[str]:
    return {text, text.partition("#")[0], text.rpartition(":")[0]} - {""}


def _exists(text: str) -> bool:
    try:
        return Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # no path at all
        return False


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _where(out: Path) -> str:
    return f"--out {out}"
