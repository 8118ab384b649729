"""The source of a user's schema: the named file, and those beside it that it imports. Read, never executed, here.

Kept with the batch and named by its digest, so that a worker runs exactly what the producer ran, or refuses.
Part of the contract: standard library only.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOURCE_KEY = "schema_source"
"""Marks a context (what a schema is built from beside its name) as source code."""
OURS = frozenset({"workers", "producer", "ops"})
MOST_MODULES = 50
MOST_CHARACTERS = 500_000
"""A schema with its helpers has a few thousand; what is larger is no schema, and would be read with every claim."""


@dataclass(frozen=True, slots=True)
class SourceModule:
    """One file; a folder without `__init__.py` is an empty package."""

    text: str = field(repr=False)
    is_package: bool


@dataclass(frozen=True, slots=True)
class SchemaSource:
    """Module name -> file, and which of them holds the model. Names are relative to the schema file's folder."""

    entry: str
    modules: Mapping[str, SourceModule]

    @property
    def digest(self) -> str:
        """SHA-256, hex: the key under which the store keeps it."""
        return content_digest(self.as_context())

    def as_context(self) -> dict[str, object]:
        """JSON for the store; `from_context` reads it again."""
        modules = {name: {"text": each.text, "is_package": each.is_package} for name, each in self.modules.items()}
        return {SOURCE_KEY: {"entry": self.entry, "modules": modules}}

    @classmethod
    def from_context(cls, context: Mapping[str, object]) -> SchemaSource:
        """Raises `InvalidInput` when the context holds no source."""
        try:
            content = context[SOURCE_KEY]
            assert isinstance(content, Mapping)  # noqa: S101 - turned into the sentence below
            modules = {
                str(name): SourceModule(str(each["text"]), bool(each["is_package"]))
                for name, each in content["modules"].items()
            }
            return cls(entry=str(content["entry"]), modules=modules)
        except (KeyError, TypeError, AttributeError, AssertionError):
            raise InvalidInput("the stored schema file cannot be read; enqueue the batch again") from None


def content_digest(content: Mapping[str, object]) -> str:
    """SHA-256 over canonical JSON, as the store's contexts are named."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def collect_source(root: Path, entry: str, *, untrusted: Sequence[Path] = ()) -> SchemaSource:
    """Read module `entry` of folder `root` and, from there, what its import statements name in that folder.

    What the standard library, an installed package or this project is called stays theirs. A file in one of the
    `untrusted` folders (the submissions) is refused. Raises `InvalidInput`; executes nothing.
    """
    return _Collection(root.resolve(), [folder.resolve() for folder in untrusted]).collect(entry)


@dataclass(slots=True)
class _Collection:
    root: Path
    untrusted: list[Path]
    modules: dict[str, SourceModule] = field(default_factory=dict)

    def collect(self, entry: str) -> SchemaSource:
        if not all(self._add(name, is_named=True) for name in _with_parents(entry)):
            raise InvalidInput(f"there is no module {entry!r} in {self.root}")
        waiting = list(self.modules)
        while waiting:
            name = waiting.pop()
            for wanted in _imports(self.modules[name], name, where=self._file(name)):
                waiting += [each for each in _with_parents(wanted) if each not in self.modules and self._add(each)]
            if len(self.modules) > MOST_MODULES or sum(len(m.text) for m in self.modules.values()) > MOST_CHARACTERS:
                raise InvalidInput(
                    f"the schema {entry!r} imports too much from {self.root}; keep it and what it needs in a folder "
                    "of their own"
                )
        return SchemaSource(entry=entry, modules=dict(sorted(self.modules.items())))

    def _add(self, name: str, *, is_named: bool = False) -> bool:
        """True when the folder has this module; one that is merely imported must take nobody else's name."""
        if not is_named and is_elsewhere(name.partition(".")[0], self.root):
            return False
        file = self._file(name)
        if file is None:
            return False
        real = file.resolve()
        if any(real.is_relative_to(folder) for folder in self.untrusted):
            raise InvalidInput(
                f"{file} lies among the submissions, and nothing that was handed in is executed; "
                "keep the schema in another folder"
            )
        self.modules[name] = SourceModule(_text(file), is_package=file.name == "__init__.py" or file.is_dir())
        return True

    def _file(self, name: str) -> Path | None:
        stem = self.root.joinpath(*name.split("."))
        candidates = (stem / "__init__.py", stem.with_name(f"{stem.name}.py"))
        return next((file for file in candidates if file.is_file()), stem if stem.is_dir() else None)


def is_elsewhere(name: str, root: Path) -> bool:
    """Whether a top-level name belongs to Python, an installed package or this project: a file never takes it."""
    if name in sys.stdlib_module_names or name in OURS:
        return True
    path = [entry for entry in sys.path if entry and Path(entry).resolve() != root]
    found = PathFinder.find_spec(name, path)
    if found is not None and found.origin is not None:
        return True
    try:
        found = importlib.util.find_spec(name)
    except ValueError:  # a module without a spec, such as __main__
        return False
    return found is not None and found.origin is not None and not Path(found.origin).resolve().is_relative_to(root)


def _text(file: Path) -> str:
    if file.is_dir():
        return ""
    try:
        return importlib.util.decode_source(file.read_bytes())
    except (UnicodeDecodeError, SyntaxError, LookupError):
        raise InvalidInput("is not text in UTF-8, or in the encoding that it declares", where=str(file)) from None
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(file)) from None


def _imports(module: SourceModule, name: str, *, where: Path | None) -> Iterator[str]:
    """Every module that an import statement may mean, at any depth of the file."""
    try:
        tree = ast.parse(module.text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise InvalidInput(f"is not valid Python: {type(error).__name__}: {error}", where=str(where)) from None
    package = name if module.is_package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(target, names, level):
                yield from _from_import(target or "", [alias.name for alias in names], level or 0, package)
            case _:
                pass


def _from_import(target: str, names: list[str], level: int, package: str) -> Iterator[str]:
    parts = package.split(".") if package else []
    if level > 1:
        parts = parts[: len(parts) - (level - 1)]
    base = ".".join([*(parts if level else []), *([target] if target else [])])
    if base:
        yield base
    yield from (f"{base}.{each}" if base else each for each in names if each != "*")


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]
