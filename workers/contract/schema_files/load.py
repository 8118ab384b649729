"""Executing a schema's kept source: from memory, under names of its own, where it can shadow nothing and nobody it.

Part of the contract: standard library only. Both sides load a schema here, so what works for the producer works for
the worker. Whether a source may be executed at all is decided before (see `registry`).
"""

from __future__ import annotations

import builtins
import importlib
import linecache
import sys
import threading
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from workers.contract.schema_files.source import SchemaSource

_loading = threading.Lock()


def load_module(source: SchemaSource) -> ModuleType:
    """The source's entry module, executed once per content and process. Raises whatever its code raises."""
    package = f"gradequeue_schema_{source.digest[:16]}"
    with _loading:
        if package not in sys.modules:
            sys.meta_path.append(_SourceFinder(package, source))
        try:
            return importlib.import_module(f"{package}.{source.entry}")
        except BaseException:
            _forget(package)
            raise


def _forget(package: str) -> None:
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if not (isinstance(finder, _SourceFinder) and finder.package == package)
    ]
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


class _SourceFinder(MetaPathFinder, InspectLoader):
    """Finds and loads the modules of one source, below a package that nobody else has."""

    def __init__(self, package: str, source: SchemaSource) -> None:
        self.package = package
        self._modules = source.modules
        self._roots = {name.partition(".")[0] for name in source.modules}
        self._builtins = {**vars(builtins), "__import__": self._import}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Only names below our package."""
        del path, target
        is_below = fullname.startswith(f"{self.package}.") and self._name(fullname) in self._modules
        if fullname != self.package and not is_below:
            return None
        return ModuleSpec(fullname, self, origin=self._shown(fullname), is_package=self.is_package(fullname))

    def is_package(self, fullname: str) -> bool:
        """As the files were laid out."""
        return fullname == self.package or self._modules[self._name(fullname)].is_package

    def get_source(self, fullname: str) -> str:
        """The text, for `inspect` and tracebacks."""
        return "" if fullname == self.package else self._modules[self._name(fullname)].text

    def exec_module(self, module: ModuleType) -> None:
        """Run it with an import statement that finds the kept files by their own names."""
        name = module.__name__
        shown, text = self._shown(name), self.get_source(name)
        linecache.cache[shown] = (len(text), None, text.splitlines(keepends=True), shown)
        module.__file__ = shown
        module.__dict__["__builtins__"] = self._builtins
        exec(self.source_to_code(text, shown), module.__dict__)  # noqa: S102 - what this file is for

    def _name(self, fullname: str) -> str:
        return fullname.removeprefix(f"{self.package}.")

    def _shown(self, fullname: str) -> str:
        return f"<{fullname}>"

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the names of the function it replaces
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        if level or name.partition(".")[0] not in self._roots:
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = importlib.import_module(f"{self.package}.{name}")
        if not fromlist:
            return importlib.import_module(f"{self.package}.{name.partition('.')[0]}")
        for each in fromlist:
            if f"{name}.{each}" in self._modules and not hasattr(module, each):
                importlib.import_module(f"{self.package}.{name}.{each}")
        return module
