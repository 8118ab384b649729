"""JSON lines: one object a line, UTF-8 with or without a byte order mark; blank lines are skipped."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, NoReturn

from producer.inputs.item import InputItem, InputLimits, item_id
from producer.inputs.text import refuse_special_file, shown
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def scan_jsonl(path: Path, limits: InputLimits) -> Iterator[InputItem | InvalidInput]:
    """Each line's item, or what is wrong with it; goes on after a bad line. May raise `OSError`."""
    name = shown(path.name)
    refuse_special_file(path, where=name)
    line_number = rows = 0
    with path.open("rb") as file:
        while line := file.readline(limits.max_row_bytes + 1):
            line_number += 1
            where = f"{name} line {line_number}"
            if len(line) > limits.max_row_bytes:
                yield InvalidInput(f"the line is longer than {limits.max_row_bytes:,} bytes", where=where)
                return  # where the next line begins is unknown without reading on without bound
            if line_number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                rows += 1
                yield _item_or_problem(line, where)
    if not rows:
        yield InvalidInput("the file is empty; each line should be a JSON object with an id", where=name)


def _item_or_problem(line: bytes, where: str) -> InputItem | InvalidInput:
    try:
        row = _row(line, where)
        row["id"] = identity = item_id(row["id"], where=where)
    except InvalidInput as problem:
        return problem
    return InputItem(id=identity, fields=row, where=where)


def _row(line: bytes, where: str) -> dict[str, object]:
    try:
        row = json.loads(line.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise InvalidInput("the line is not UTF-8 text; save the file in UTF-8", where=where) from None
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
        raise InvalidInput(f"not valid JSON ({reason}); each line must be one JSON object", where=where) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not usable JSON ({_reason(error)})", where=where) from None
    if not isinstance(row, dict):
        raise InvalidInput('each line must be one JSON object, such as {"id": …, "prompt": …}', where=where)
    if "id" not in row:
        raise InvalidInput("the object has no 'id'; give every row an id of its own", where=where)
    return row


class _UnusableError(ValueError):
    """Python would accept it, in a meaning nobody can see."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise _UnusableError("the same key stands twice in one object")
    return row


def _refuse_constant(_name: str) -> NoReturn:
    raise _UnusableError("NaN and Infinity are no values")


def _reason(error: Exception) -> str:
    if isinstance(error, _UnusableError):
        return str(error)
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"
