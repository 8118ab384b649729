"""Where a user's own schema is found. Looks; executes nothing. Part of the contract: standard library only.

`path/file.py:Model` is in that file; `module:Model` among what is installed and, last, in the working folder.
Only a person's command or program looks for files. A worker gets them from the store (see `registry`).
"""

from __future__ import annotations

import re
import site
import sysconfig
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workers.contract.errors import InvalidInput, UnknownSchema
from workers.contract.schema_files.source import collect_source, is_elsewhere

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.contract.schema_files.source import SchemaSource

LONGEST_NAME = 200
_NAME = re.compile(r"(?P<module>.+):(?P<path>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SUFFIX = ".py"


class SchemaFinder(Protocol):
    """Finds the source of a user's own schema."""

    def find(self, name: str) -> SchemaSource | None:
        """The source, or None when the module is installed here and imported by its name. Raises `InvalidInput`."""


class InstalledSchemas:
    """Finds no files: for workers."""

    def find(self, name: str) -> SchemaSource | None:
        """None for a dotted name; a file's name leads nowhere here."""
        module, _path = split_name(name)
        if module.endswith(_SUFFIX):
            raise UnknownSchema(f"the file of schema {name!r} was not kept with the batch; enqueue it again")
        return None


@dataclass(frozen=True, slots=True)
class LocalSchemas:
    """Finds files by their path, and modules beside the caller; nothing that lies in one of `untrusted`."""

    folder: Path
    """Searched last, and for the named module alone."""
    untrusted: Sequence[Path] = ()
    """Folders of submissions."""

    def find(self, name: str) -> SchemaSource | None:
        """See `SchemaFinder`."""
        module, _path = split_name(name)
        if module.endswith(_SUFFIX):
            return self._file(self.folder / Path(module).expanduser())
        top = module.partition(".")[0]
        root = _user_folder_of(top)
        if root is None:
            if is_elsewhere(top, self.folder.resolve()):
                return None
            root = self.folder
        if not _has_module(root, module):
            raise UnknownSchema(f"module {module!r} cannot be imported: no module named {module!r}")
        return collect_source(root, module, untrusted=self.untrusted)

    def _file(self, file: Path) -> SchemaSource:
        if not file.is_file():
            raise UnknownSchema(f"there is no schema file {file}")
        if "." in file.stem:
            raise InvalidInput(f"{file.name}: a schema file's name has no dot but that of .py; rename it")
        return collect_source(file.parent, file.stem, untrusted=self.untrusted)


def split_name(name: str) -> tuple[str, str]:
    """`course/exam.py:Grade` -> (`course/exam.py`, `Grade`); raises `UnknownSchema` for what is no such name."""
    match = _NAME.fullmatch(name)
    if match is None or not (match["module"].endswith(_SUFFIX) or _DOTTED.fullmatch(match["module"])):
        raise UnknownSchema(f"schema {name!r} is not of the form file.py:Model or module:Model")
    if len(name) > LONGEST_NAME:
        raise InvalidInput(f"a schema's name may have {LONGEST_NAME} characters; name its file by a shorter path")
    return match["module"], match["path"]


def entry_module(name: str) -> str:
    """What the module of this name is called in its source: a file's stem, or the dotted name."""
    module, _path = split_name(name)
    return Path(module).stem if module.endswith(_SUFFIX) else module


def _user_folder_of(top: str) -> Path | None:
    """The entry of the import path that holds a module of the user's: no part of Python, no installed package."""
    found = PathFinder.find_spec(top)
    if found is None or found.origin is None or is_elsewhere(top, _folder_of(found.origin)):
        return None
    return None if _is_installed(Path(found.origin)) else _folder_of(found.origin)


def _folder_of(origin: str) -> Path:
    file = Path(origin).resolve()
    return file.parent.parent if file.stem == "__init__" else file.parent


def _is_installed(file: Path) -> bool:
    standard = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = {*(standard[name] for name in names), *site.getsitepackages(), site.getusersitepackages()}
    return any(file.resolve().is_relative_to(Path(place).resolve()) for place in places)


def _has_module(root: Path, name: str) -> bool:
    stem = root.joinpath(*name.split("."))
    return stem.with_name(f"{stem.name}{_SUFFIX}").is_file() or (stem / "__init__.py").is_file()
