"""A notebook as its cells: text and code in order, text outputs shortened, pictures left out and named.

Cell ids, execution counts and metadata are left out: nbformat makes missing ids at random at every reading.
*Source*: nbformat 5.11.1 (`reads` upgrades versions 1 to 3; an invalid notebook is read all the same).
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from typing import Any

from producer.inputs.documents.piece import Unreadable

MOST_OUTPUT_CHARACTERS = 1_500
"""Of one cell's outputs: enough to see a result or an error; a training log is thousands of lines."""
_OBJECT = re.compile(r"<[^<>\n]*>|Text\([^()\n]*\)|array\(|dtype=object")
"""What a plotting call returns: `[<matplotlib.lines.Line2D at 0x7f...>]`, another address at every run."""
_BETWEEN_OBJECTS = frozenset("[](), \n")
_TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_FENCES = re.compile(r"`{3,}")
_DATA_LINK = re.compile(r"\(data:image/[^)]{100,}\)|(?<=[\"'])data:image/[^\"']{100,}")
"""A picture pasted into a text cell."""


def notebook_text(content: bytes) -> str:
    """The cells, each under a line that says its kind. `Unreadable` when this is no notebook."""
    import nbformat  # noqa: PLC0415 - costs a quarter of a second, a folder of programs needs none of it

    logging.getLogger("nbformat").setLevel(logging.CRITICAL)  # it quotes what it finds invalid
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = nbformat.reads(content.decode("utf-8-sig"), as_version=4)  # type: ignore[no-untyped-call]
            cells = [_cell(cell, _language(read)) for cell in read.cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, nbformat.ValidationError):
        raise Unreadable("it is not a notebook that can be read") from None
    return "\n".join(cells)


def _language(read: Any) -> str:
    metadata = read.get("metadata", {})
    name = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language") or ""
    return name if isinstance(name, str) else ""


def _cell(cell: Any, language: str) -> str:
    source = _joined(cell.get("source", ""))
    if cell.cell_type != "code":
        return f"{_DATA_LINK.sub(_PICTURE, source)}\n"
    fence = _fence(source)
    outputs = _shortened("\n".join(_outputs(cell.get("outputs", []))))
    shown = f"\nOutput:\n{_fence(outputs)}\n{outputs}\n{_fence(outputs)}" if outputs else ""
    if outputs and set(outputs.split("\n")) == {_PICTURE}:  # ours, and the cells' words are what is paid for
        shown = f"\n{_PICTURE}"
    return f"{fence}{language}\n{source}\n{fence}{shown}\n"


_PICTURE = "(picture)"


def _outputs(outputs: Any) -> list[str]:
    """What a person reads of them; beside a picture nobody reads which object drew it."""
    texts = [(output.get("output_type"), text) for output in outputs if (text := _output(output))]
    is_plot = any(text == _PICTURE for _, text in texts)
    return [text for kind, text in texts if not (is_plot and kind == "execute_result" and _are_objects(text))]


def _are_objects(text: str) -> bool:
    return _BETWEEN_OBJECTS.issuperset(_OBJECT.sub("", text))


def _output(output: Any) -> str:
    kind = output.get("output_type")
    if kind == "stream":
        return _TERMINAL_COLOURS.sub("", _joined(output.get("text", "")).rstrip())
    if kind == "error":
        return f"{output.get('ename', 'Error')}: {_TERMINAL_COLOURS.sub('', str(output.get('evalue', '')))}"
    data = output.get("data", {})
    if any(str(kind).startswith("image/") for kind in data):
        return _PICTURE  # its text is the object's address
    return _joined(data.get("text/plain", "")).rstrip()


def _shortened(text: str) -> str:
    if len(text) <= MOST_OUTPUT_CHARACTERS:
        return text
    head, tail = text[: MOST_OUTPUT_CHARACTERS * 2 // 3], text[-MOST_OUTPUT_CHARACTERS // 3 :]
    return f"{head}\n... {len(text) - len(head) - len(tail):,} characters left out ...\n{tail}"


def _joined(text: object) -> str:
    if isinstance(text, list):
        return "".join(map(str, text))
    return text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)


def _fence(text: str) -> str:
    """Longer than any in the text."""
    return "`" * max(3, 1 + max((len(found) for found in _FENCES.findall(text)), default=0))
