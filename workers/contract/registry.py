"""Schema names and the models behind them; both sides look a name up here and compare fingerprints.

Part of the contract: stdlib and pydantic only. A name is refused at registration, not at the first job, when strict
mode cannot hold its model or the model would refuse every answer. `path/file.py:Model` and `module:Model` name a
user's own: see `schema_files.lookup`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from pydantic import BaseModel

from workers.contract.errors import InvalidInput, UnknownSchema, UntrustedSchema
from workers.contract.schema_files.load import load_module
from workers.contract.schema_files.lookup import InstalledSchemas, SchemaFinder, entry_module, split_name
from workers.contract.schema_files.source import SOURCE_KEY, SchemaSource
from workers.contract.schemas import exam_errors, rubric_assessment
from workers.contract.schemas.error_report import ErrorReport
from workers.contract.schemas.feedback import Feedback
from workers.contract.strict.schema import strict_schema

BuildModel = Callable[[Mapping[str, object]], type[BaseModel]]
"""Makes a model from a context, such as a rubric; raises `InvalidInput` when the context does not fit."""

BUILTIN_MODELS: Mapping[str, type[BaseModel]] = {"error_report": ErrorReport, "feedback": Feedback}
BUILTIN_FACTORIES: Mapping[str, BuildModel] = {
    "exam_errors": exam_errors.build,
    "rubric_assessment": rubric_assessment.build,
}
"""Where a built-in schema that needs a context is added, beside `BUILTIN_MODELS`."""


@dataclass(frozen=True, slots=True)
class SchemaEntry:
    """A model under its name. The fingerprint changes whenever an answer could be judged differently."""

    name: str
    model: type[BaseModel]
    fingerprint: str
    source: Mapping[str, object] | None = field(default=None, repr=False, compare=False)
    """Of a schema in a file: what is kept with the batch as its context, for the workers to load."""


class SchemaRegistry:
    """Names to models. Two registries with the same content give the same fingerprints.

    `finder` looks for users' own schemas; `trusts(digest)` says whether a source that comes as a context, from the
    store, may be executed. By default only what is installed is found, and nothing from the store is executed.
    """

    def __init__(
        self, *, finder: SchemaFinder | None = None, trusts: Callable[[str], bool] = lambda _digest: False
    ) -> None:
        self._finder = finder or InstalledSchemas()
        self._trusts = trusts
        self._own: dict[tuple[str, str], SchemaEntry] = {}
        self._entries: dict[str, SchemaEntry] = {}
        self._factories: dict[str, BuildModel] = {}

    def register(self, name: str, model: type[BaseModel]) -> SchemaEntry:
        """Add a model; registering the same again changes nothing. Raises `InvalidInput` with every violation."""
        entry = _entry(name, model, None)
        known = self._entries.get(name)
        if name in self._factories or (known is not None and known.fingerprint != entry.fingerprint):
            raise InvalidInput(f"schema {name!r} is registered already, with other content")
        self._entries[name] = entry
        return entry

    def register_factory(self, name: str, build: BuildModel) -> None:
        """Add a schema whose model depends on a context. Its models are checked when they are made."""
        if name in self._entries or self._factories.get(name, build) is not build:
            raise InvalidInput(f"schema {name!r} is registered already, with other content")
        self._factories[name] = build

    def resolve(self, name: str, context: Mapping[str, object] | None = None) -> SchemaEntry:
        """Find the entry of a name; `context` is for schemas made by a factory, and refused elsewhere."""
        if name in self._factories:
            return self._built(name, context)
        if is_users_own(name) and name not in self._entries:
            return self._users_own(name, context)
        if context:
            raise InvalidInput(f"schema {name!r} takes no context")
        if name in self._entries:
            return self._entries[name]
        known = ", ".join(self.names())
        raise UnknownSchema(
            f"schema {name!r} is unknown; known are: {known}; or name one of yours as file.py:Model or module:Model"
        )

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted({*self._entries, *self._factories}))

    def describe(self, name: str) -> str:
        """Say in one line what the schema is for: the first line of its docstring."""
        described: object = self._factories[name] if name in self._factories else self.resolve(name).model
        lines = (described.__doc__ or "").strip().splitlines()
        return lines[0] if lines else ""

    def needs_context(self, name: str) -> bool:
        """Whether `resolve` wants a context for this name."""
        return name in self._factories

    def takes(self, name: str, context: Mapping[str, object]) -> bool:
        """Whether this context is one for this name: a schema file's source is for names in that file alone."""
        if is_users_own(name):
            return SOURCE_KEY in context and SchemaSource.from_context(context).entry == entry_module(name)
        return self.needs_context(name)

    def _users_own(self, name: str, context: Mapping[str, object] | None) -> SchemaEntry:
        source = SchemaSource.from_context(context) if context else self._finder.find(name)
        if source is None:
            return self.register(name, _installed(name))
        digest = source.digest
        if context and not self._trusts(digest):
            raise UntrustedSchema(
                f"the schema file of {name!r} was not named on this host: if you know it, set "
                f"GRADEQUEUE_TRUSTED_SCHEMAS={digest} here, then `gradequeue retry`"
            )
        known = self._own.get((name, digest))
        if known is None:
            model = _model_in(_loaded(source, name), name)
            kept = source.as_context()
            entry = _entry(name, model, kept)
            known = self._own[name, digest] = replace(entry, source=kept)
        return known

    def _built(self, name: str, context: Mapping[str, object] | None) -> SchemaEntry:
        if context is None:
            raise InvalidInput(f"schema {name!r} needs a context (a rubric, say)")
        model = self._factories[name](context)
        try:
            canonical = json.dumps(context, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError):
            return _entry(name, model, context)  # which says what is wrong with it
        return _built_entry(name, model, canonical)


def builtin_registry(
    *, finder: SchemaFinder | None = None, trusts: Callable[[str], bool] = lambda _digest: False
) -> SchemaRegistry:
    """Make a registry with the schemas that come with the project."""
    registry = SchemaRegistry(finder=finder, trusts=trusts)
    for name, model in BUILTIN_MODELS.items():
        registry.register(name, model)
    for name, build in BUILTIN_FACTORIES.items():
        registry.register_factory(name, build)
    return registry


def fingerprint(model: type[BaseModel], context: Mapping[str, object] | None = None) -> str:
    """SHA-256, hex, over class name, strict schema, full Pydantic schema (its constraints count) and context."""
    content: dict[str, object] = {
        "class": model.__name__,
        "strict": strict_schema(model),
        "pydantic": model.model_json_schema(),
    }
    if context is not None:
        content["context"] = context
    try:
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the context of {model.__name__} cannot be written as JSON ({error})") from None
    return hashlib.sha256(canonical.encode()).hexdigest()


def _entry(name: str, model: type[BaseModel], context: Mapping[str, object] | None) -> SchemaEntry:
    if not name.strip():
        raise InvalidInput("a schema needs a name")
    return SchemaEntry(name, model, fingerprint(model, context))


@lru_cache(maxsize=64)
def _built_entry(name: str, model: type[BaseModel], context_json: str) -> SchemaEntry:
    """The fingerprint builds both schemas: a millisecond, paid once per rubric and not once per job."""
    return _entry(name, model, json.loads(context_json))


def is_users_own(name: str) -> bool:
    """Whether the name is a file's or a module's, and no built-in's."""
    return ":" in name


def _loaded(source: SchemaSource, name: str) -> object:
    return _run(lambda: load_module(source), split_name(name)[0])


def _installed(name: str) -> type[BaseModel]:
    module_name, _path = split_name(name)
    return _model_in(_run(lambda: importlib.import_module(module_name), module_name), name)


def _model_in(module: object, name: str) -> type[BaseModel]:
    module_name, path = split_name(name)
    found: object = module
    for step in path.split("."):
        found = getattr(found, step, None)
    if found is None:
        raise UnknownSchema(f"module {module_name!r} has no {path!r}")
    if not (isinstance(found, type) and issubclass(found, BaseModel)) or found is BaseModel:
        raise InvalidInput(f"{name!r} is not a pydantic model")
    return found


def _run(load: Callable[[], object], name: str) -> object:
    try:
        return load()
    except ModuleNotFoundError as error:
        raise UnknownSchema(f"module {name!r} cannot be imported: no module named {error.name!r}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the module is the caller's; whatever it raises is theirs to read
        raise InvalidInput(f"module {name!r} cannot be imported: {type(error).__name__}: {error}") from None
