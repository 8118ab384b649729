"""JSON lines: one object a line, UTF-8 as the format says, or what a byte order mark or the user names.

Nothing is guessed at: a line that is not UTF-8 is a problem of its own, and the lines around it are read.
"""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, NoReturn

from producer.inputs.item import InputItem, InputLimits, InputOptions, item_id
from producer.inputs.text import file_chunks, refuse_special_file, shown
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer.inputs.encodings import Encodings


def scan_jsonl(
    path: Path, limits: InputLimits, encodings: Encodings, options: InputOptions
) -> Iterator[InputItem | InvalidInput]:
    """Each line's item, or what is wrong with it; continues after a bad line. May raise `OSError`."""
    name = shown(path.name)
    refuse_special_file(path, where=name)
    rows = 0
    for line_number, line in enumerate(_lines(path, name, limits, encodings), start=1):
        where = f"{name} line {line_number}"
        if len(line) > limits.max_row_bytes:
            yield InvalidInput(f"the line is longer than {limits.max_row_bytes:,} bytes", where=where)
            return  # where the next line begins is unknown without reading on without bound
        if line.strip():
            rows += 1
            yield _item_or_problem(line, where, encodings.how_to_name, options.id_column or "id")
    if not rows:
        yield InvalidInput("the file is empty; each line should be a JSON object with an id", where=name)


def _lines(path: Path, name: str, limits: InputLimits, encodings: Encodings) -> Iterator[bytes]:
    """The lines in UTF-8, or unchanged when no other encoding was named."""
    with path.open("rb") as file:
        start = file.read(len(codecs.BOM_UTF8))
    if encodings.named is None and not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        with path.open("rb") as file:
            file.seek(len(codecs.BOM_UTF8) if start == codecs.BOM_UTF8 else 0)
            while line := file.readline(limits.max_row_bytes + 1):
                yield line
        return
    encoding = encodings.find(lambda: file_chunks(path), where=name)
    with path.open(encoding=encoding, newline="\n") as file:
        while text := file.readline(limits.max_row_bytes + 1):
            yield text.encode()


def _item_or_problem(line: bytes, where: str, how_to_name: str, id_column: str) -> InputItem | InvalidInput:
    try:
        row = _row(line, where, how_to_name)
        if id_column not in row:
            raise InvalidInput(f"the object has no {id_column!r}; give every row an id of its own", where=where)  # noqa: TRY301
        row["id"] = identity = item_id(row[id_column], where=where)
    except InvalidInput as problem:
        return problem
    return InputItem(id=identity, fields=row, where=where, has_own_columns=True)


def _row(line: bytes, where: str, how_to_name: str) -> dict[str, object]:
    try:
        row = json.loads(line.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise InvalidInput(
            f"the line is not UTF-8 text; save the file in UTF-8, or {how_to_name}", where=where
        ) from None
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
        raise InvalidInput(f"not valid JSON ({reason}); each line must be one JSON object", where=where) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not usable JSON ({_reason(error)})", where=where) from None
    if not isinstance(row, dict):
        raise InvalidInput('each line must be one JSON object, such as {"id": …, "prompt": …}', where=where)
    return row


class _UnusableError(ValueError):
    """Accepted by json, but ambiguous."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise _UnusableError("the same key appears twice in one object")
    return row


def _refuse_constant(_name: str) -> NoReturn:
    raise _UnusableError("NaN and Infinity are no values")


def _reason(error: Exception) -> str:
    if isinstance(error, _UnusableError):
        return str(error)
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"
