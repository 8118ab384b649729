"""What a worker process does not load: libraries that others use only where they are installed, and the SDK's types.

A worker never draws a table, colours a line of code or reads YAML in a message, but Celery, kombu and structlog load
what does that, because the page or the command line have it installed. And of the SDK's several hundred models of
requests and answers, which are a fifth of a worker's memory and of its start, a worker uses none for a live call.

Imports only the standard library: it has to come first.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

OPTIONAL = ("rich", "pygments", "yaml", "psutil")
"""Each of their importers goes on without. *Source*: structlog 26.1, `tracebacks.py` (rich); celery 5.7, `bin/base.py`
(pygments), `utils/debug.py` (psutil); kombu 5.7, `serialization.py`, `register_yaml`."""
DEFERRED = ("openai.types", "openai.types.responses")
"""Packages whose `__init__` imports every module in them for who asks the package by name."""


@contextmanager
def lean_imports(*, optional: Sequence[str] = OPTIONAL, deferred: Collection[str] = DEFERRED) -> Iterator[None]:
    """Within it, `optional` modules are not found, and a `deferred` package runs when a name of it is first asked for.

    Modules inside a deferred package can be imported without it. What is loaded already stays; afterwards, everything
    is found as ever. Not for two threads at a time.
    """
    absent = [name for name in optional if name not in sys.modules]
    finder = _DeferringFinder(deferred)
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: documented as "not found"
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in absent:
            del sys.modules[name]


class _DeferringFinder(MetaPathFinder):
    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The package as it is found without us, which does not run yet."""
        if fullname not in self._names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None and spec.submodule_search_locations is not None:
            spec.loader = _DeferringLoader(spec.loader)
        return spec


class _DeferringLoader(Loader):
    """`importlib.util.LazyLoader` does this for modules; a package would run with the first import of one in it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty, but for what loads it."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        vars(module)["__getattr__"] = _RunsWhenAsked(module, self._loader)


class _RunsWhenAsked:
    """The `__getattr__` of a module that has not run: it runs once, and other threads wait for that."""

    def __init__(self, module: ModuleType, loader: Loader) -> None:
        self._module = module
        self._loader = loader
        self._lock = threading.RLock()
        self._runs = False

    def __call__(self, name: str) -> object:
        with self._lock:
            if self._runs:  # its own imports ask for a name that it does not have yet
                raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r}")
            if vars(self._module).get("__getattr__") is self:
                self._run()
        return getattr(self._module, name)

    def _run(self) -> None:
        self._runs = True
        try:
            self._loader.exec_module(self._module)
        finally:
            self._runs = False
        if vars(self._module).get("__getattr__") is self:
            del vars(self._module)["__getattr__"]
