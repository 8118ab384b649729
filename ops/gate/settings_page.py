"""docs/settings.md: one row per setting, from the declarations in workers/settings/declaration.py."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import AliasChoices
from pydantic_core import PydanticUndefined

from workers.settings import Settings, declaration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
INTRODUCTION = """# Settings

Generated from `workers/settings/declaration.py` by `make docs`; do not edit. An empty value counts as not set.
`gradequeue doctor` shows which source won for each, without secrets.

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    """Markdown: one row per setting, in the order of their declaration."""
    texts = _docstrings()
    rows = (_row(name, field, texts.get(name, "")) for name, field in Settings.model_fields.items())
    return INTRODUCTION + "".join(rows)


def _row(name: str, field: FieldInfo, text: str) -> str:
    return f"| {', '.join(f'`{each}`' for each in _variables(name, field))} | {_default(field)} | {_escaped(text)} |\n"


def _variables(name: str, field: FieldInfo) -> Iterator[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        yield from (str(choice) for choice in alias.choices)
    else:
        yield str(alias or name)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the user's data folder"
    default = field.default
    return "" if default is None or default is PydanticUndefined else f"`{default}`"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _docstrings() -> dict[str, str]:
    """Field name to the string below its declaration."""
    (settings,) = (
        node
        for node in ast.parse(inspect.getsource(declaration)).body
        if isinstance(node, ast.ClassDef) and node.name == Settings.__name__
    )
    found = {}
    for field, below in zip(settings.body, settings.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[field.target.id] = text
    return found
