"""From a path to items, one at a time: which kind of input it is, and one way to read them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.inputs.csv_file import scan_csv
from producer.inputs.folder import scan_folder
from producer.inputs.item import InputItem, InputLimits
from producer.inputs.jsonl_file import scan_jsonl
from producer.inputs.text import file_chunks, refuse_special_file, shown, unreadable
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Scan = Callable[[Path, InputLimits], Iterator[InputItem | InvalidInput]]

_JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
_CSV_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})


def read_items(path: Path, *, limits: InputLimits | None = None) -> Iterator[InputItem]:
    """Yield every item in the input's own order, in memory bounded by `limits`.

    The first problem is raised as `InvalidInput`. Ids are not compared with one another: `check_items` does that.
    """
    for found in scan_items(path, limits=limits):
        if isinstance(found, InvalidInput):
            raise found
        yield found


def scan_items(path: Path, *, limits: InputLimits | None = None) -> Iterator[InputItem | InvalidInput]:
    """Yield every item, and each problem in its place, going on behind it where that is possible. Raises nothing."""
    try:
        yield from _scan_for(path)(path, limits or InputLimits())
    except InvalidInput as problem:
        yield problem
    except OSError as error:
        yield unreadable(error, where=shown(path.name))
    except UnicodeError:  # the encoding was found by reading the whole file before
        yield InvalidInput("the file changed while it was read; run the command again", where=shown(path.name))


def _scan_for(path: Path) -> Scan:
    if path.is_dir():
        return scan_folder
    refuse_special_file(path, where=shown(path.name))
    suffix = path.suffix.casefold()
    if suffix in _JSONL_SUFFIXES or (suffix not in _CSV_SUFFIXES and _begins_with_a_brace(path)):
        return scan_jsonl
    return scan_csv


def _begins_with_a_brace(path: Path) -> bool:
    start = next(iter(file_chunks(path)), b"")
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
