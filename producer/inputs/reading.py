"""From a path to items, one at a time: which kind of input it is, and one way to read them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.inputs.courses.reading import DownloadReader
from producer.inputs.courses.recognise import recognised
from producer.inputs.courses.roster import Roster
from producer.inputs.courses.tree import opened_tree
from producer.inputs.csv_file import guessed_id_column, scan_csv
from producer.inputs.encodings import Encodings
from producer.inputs.item import InputItem, InputLimits, InputOptions
from producer.inputs.jsonl_file import scan_jsonl
from producer.inputs.text import file_chunks, refuse_special_file, shown, unreadable
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from producer.inputs.courses.recognise import Recognised

    Scan = Callable[[Path, InputLimits, Encodings, InputOptions], Iterator[InputItem | InvalidInput]]

_JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
_CSV_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})


def read_items(
    path: Path,
    *,
    limits: InputLimits | None = None,
    encodings: Encodings | None = None,
    options: InputOptions | None = None,
) -> Iterator[InputItem]:
    """Yield every item in the input's own order, in memory bounded by `limits`.

    The first problem is raised as `InvalidInput`. Ids are not compared with one another: `check_items` does that.
    """
    for found in scan_items(path, limits=limits, encodings=encodings, options=options):
        if isinstance(found, InvalidInput):
            raise found
        yield found


def scan_items(
    path: Path,
    *,
    limits: InputLimits | None = None,
    encodings: Encodings | None = None,
    options: InputOptions | None = None,
) -> Iterator[InputItem | InvalidInput]:
    """Yield every item, and each problem in its place, going on behind it where that is possible. Raises nothing.

    `encodings` knows afterwards what was assumed about files that are not UTF-8.
    """
    try:
        scan = _scan_for(path)
        yield from scan(path, limits or InputLimits(), encodings or Encodings(), options or InputOptions())
    except InvalidInput as problem:
        yield problem
    except OSError as error:
        yield unreadable(error, where=shown(path.name))
    except UnicodeError:  # the encoding was found by reading the whole file before
        yield InvalidInput("the file changed while it was read; run the command again", where=shown(path.name))


@dataclass(frozen=True, slots=True)
class Columns:
    """What a template may name, and the place of the first item."""

    names: tuple[str, ...]
    where: str


def read_columns(
    path: Path,
    *,
    limits: InputLimits | None = None,
    encodings: Encodings | None = None,
    options: InputOptions | None = None,
) -> Columns:
    """The columns that items have, in order of appearance; of a file that cannot be read, what was seen before.

    Costs the first item of a folder or CSV, where all have the same, and one reading of JSON lines.
    """
    names: dict[str, None] = {}
    where = ""
    for found in scan_items(path, limits=limits, encodings=encodings, options=options):
        if isinstance(found, InputItem):
            names.update(dict.fromkeys(found.fields))
            where = where or found.where
            if not found.has_own_columns:
                break
    return Columns(tuple(names), where)


def is_download(path: Path) -> bool:
    """Whether the input is a folder or a ZIP of files, not one table."""
    if path.is_dir():
        return True
    return path.suffix.casefold() == ".zip" and path.is_file()


def describe_input(path: Path, options: InputOptions) -> str | None:
    """One sentence on a course system's download, from its names alone; None for anything else."""
    if not is_download(path):
        return _describe_table(path, options)
    with opened_tree(path) as tree:
        found = recognised(tree, options.layout, is_peeled=not path.is_dir())
        return found.summary() if found.is_course_download or not path.is_dir() else None


def _describe_table(path: Path, options: InputOptions) -> str | None:
    if options.id_column or _scan_for(path) is not scan_csv:
        return None
    guessed = guessed_id_column(path, InputLimits(), Encodings())
    return (
        f"{shown(path.name)}: the column {guessed!r} names the students (--id-column chooses another)"
        if guessed
        else None
    )


def _scan_download(
    path: Path, limits: InputLimits, encodings: Encodings, options: InputOptions
) -> Iterator[InputItem | InvalidInput]:
    with opened_tree(path) as tree:
        found = recognised(tree, options.layout, is_peeled=not path.is_dir())
        yield from download_reader(found, limits=limits, encodings=encodings, options=options).items()


def download_reader(
    found: Recognised, *, limits: InputLimits | None = None, encodings: Encodings, options: InputOptions
) -> DownloadReader:
    """How a recognised download is read as the options say. `InvalidInput` for a roster that cannot be read."""
    return DownloadReader(
        recognised=found,
        limits=limits or InputLimits(),
        encodings=encodings,
        is_strict=options.is_strict,
        roster=Roster.load(options.roster) if options.roster else None,
    )


def _scan_for(path: Path) -> Scan:
    if is_download(path):
        return _scan_download
    refuse_special_file(path, where=shown(path.name))
    suffix = path.suffix.casefold()
    if suffix in _JSONL_SUFFIXES or (suffix not in _CSV_SUFFIXES and _begins_with_a_brace(path)):
        return scan_jsonl
    return scan_csv


def _begins_with_a_brace(path: Path) -> bool:
    start = next(iter(file_chunks(path)), b"")
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
