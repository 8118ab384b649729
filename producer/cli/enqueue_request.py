"""A checked input, its batch name and what is kept with the batch, out of the options of `job_options`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from producer.cli.points_question import POINTS_NOT_SAID, answered
from producer.inputs import CheckedInput, InputOptions, check_items, duration_seconds
from producer.inputs.apart import refuse_among_submissions
from producer.inputs.encodings import Encodings
from producer.inputs.ending_models import ending_notices
from producer.inputs.joining import keyed, refuse_weaker
from producer.inputs.kits.kit import NO_KIT, load_kit
from producer.inputs.templates import Template, keep_template
from producer.inputs.text import read_text
from producer.local.known_work import compared, find_known_work, is_graded_alike
from workers.contract.errors import InvalidInput
from workers.contract.identity import IdentityRule
from workers.contract.job import MAX_PROMPT_BYTES, JobParameters, JobSpec
from workers.contract.model_parameters import ChoiceCheck
from workers.contract.model_profile import load_profiles
from workers.contract.origin import PARTS, BatchOrigin
from workers.contract.registry import SchemaEntry, SchemaRegistry, builtin_registry, is_users_own
from workers.contract.schema_files.lookup import LocalSchemas
from workers.contract.schemes.fence import Fence
from workers.contract.schemes.layout import GIVEN_TITLES
from workers.contract.schemes.scheme import GradingScheme, scheme_from_options
from workers.contract.twins import TwinRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from producer.client import JobClient
    from workers.settings import Settings

_FILES_OF_THE_INSTRUCTOR = ("kit", "template", "rubric", "catalogue", "roster", *GIVEN_TITLES)
STANDIN_MODEL = "standin"
"""The model of offline jobs that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueRequest:
    """A checked input, its batch name, and the context of its schema."""

    name: str
    checked: CheckedInput
    origin: BatchOrigin
    context: Mapping[str, object] | None
    warnings: tuple[str, ...]
    schemas: LocalSchemas
    """Finds the user's own schema; never among the submissions."""
    is_named: bool = False
    """The batch's name was given, not derived."""
    renews: bool = False
    """Work that is another than before is graded again."""
    price: str | None = None
    """Whether its jobs may wait for a cheaper lane, as an option or the kit says."""

    def for_client(self, client: JobClient) -> Enqueueable:
        """Jobs and origin with the fence of the batch: of the one that exists, or a new one.

        Raises `InvalidInput` where the batch sends pseudonyms and these jobs would not.
        """
        begun = client.origin(self.name)
        refuse_weaker(self.checked.identity, name=self.name, begun=begun)
        origin = self.origin
        if self.checked.is_fenced:
            origin = replace(origin, fence=client.fence(self.name).mark, prompt_layout=PARTS)
        if origin.identity is not None:
            origin = keyed(origin, name=self.name, begun=begun)
        return Enqueueable(specs=partial(self._joining, client, self.name, origin), origin=origin)

    def _joining(self, client: JobClient, name: str, origin: BatchOrigin) -> Iterator[JobSpec]:
        """The jobs as they join the batch of this name and origin."""
        fence = Fence(origin.fence) if origin.fence is not None else None
        others = client.batch(name).people()
        return self.checked.specs(fence, key=origin.pseudonym_key, others=others)

    def joined(self, client: JobClient) -> EnqueueRequest:
        """The request for the batch that holds most of this input already, unless a name was given or has its batch.

        Raises `InvalidInput` when some of the work is another than before, and `--update` was not given.
        """
        if held := client.batch(self.name).work():
            self._refuse_changed(client, held)
            return self
        if self.is_named:
            return self
        known = find_known_work(
            client, self.origin, self.checked.ids, lambda batch: self._joining(client, batch.name, batch.origin)
        )
        if known is None:
            return self
        if not self.renews:
            known.refuse_changed()
        return replace(self, name=known.batch, warnings=(known.sentence(),))

    def _refuse_changed(self, client: JobClient, held: Mapping[str, tuple[str, str, str]]) -> None:
        """Name at once who handed in other work, where the batch was begun by the same order of grading."""
        begun = client.origin(self.name)
        if not self.renews and begun is not None and is_graded_alike(begun, self.origin):
            compared(self.name, held, self._joining(client, self.name, begun)).refuse_changed()

    def schema_entries(self) -> Mapping[str, SchemaEntry]:
        """Schema name -> entry, resolved when asked for."""
        return _SchemaEntries(self)


class _SchemaEntries(dict[str, SchemaEntry]):
    def __init__(self, request: EnqueueRequest) -> None:
        super().__init__()
        self._registry = builtin_registry(finder=request.schemas)
        self._context = request.context

    def __missing__(self, name: str) -> SchemaEntry:
        context = self._context if self._registry.needs_context(name) else None
        self[name] = entry = self._registry.resolve(name, context)
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueueable:
    """What goes to the client: an iterator of specs per call, and the origin kept with the batch."""

    specs: Callable[[], Iterator[JobSpec]]
    origin: BatchOrigin


def checked_request(
    input_path: Path, settings: Settings, options: dict[str, Any], *, is_first_alone: bool = False
) -> EnqueueRequest:
    """Read the whole input and check it against everything the options say; raises `InvalidInput`.

    `is_first_alone`: only as much of it as the first prompt needs.
    """
    refuse_among_submissions(input_path, {name: options[name] for name in _FILES_OF_THE_INSTRUCTOR})
    kit = load_kit(options["kit"]) if options["kit"] else NO_KIT
    options = kit.completed(options)
    twins, identity = TwinRule(options["twins"]), IdentityRule(options["identity"])
    template = Template.load(options["template"]) if options["template"] else kit.template
    given = {
        **kit.given,
        **{name: _given_text(options[name]) for name in GIVEN_TITLES if options[name] is not None},
    }
    scheme = _grading_scheme(options)
    schema = scheme.schema if scheme else options["schema"]
    model = options["model"] or settings.model or (STANDIN_MODEL if settings.offline else None)
    schemas = LocalSchemas(Path.cwd(), untrusted=(input_path,) if input_path.is_dir() else ())
    registry = builtin_registry(finder=schemas)
    if schema is not None:
        registry.resolve(schema, scheme.context if scheme else None)
    checked = check_items(
        input_path,
        template=template,
        schema=schema,
        model=model,
        parameters=parameters_of(options),
        known_schemas=_Nameable(registry, schema),
        section=scheme.section if scheme else None,
        given=given,
        twins=twins,
        identity=identity,
        encoding=options["encoding"],
        options=input_options(options),
        choices=_choices(settings),
        is_first_alone=is_first_alone,
    )
    origin = _origin(
        input_path,
        settings,
        options,
        schema=schema,
        scheme=scheme.digest if scheme else None,
        model=model,
        template=template.sha256 if template else None,
        given=given,
    )
    return EnqueueRequest(
        name=options["name"] or _derived_name(input_path, origin),
        checked=checked,
        origin=keep_template(origin, template, checked.template_fields) if template else origin,
        context=scheme.context if scheme else None,
        warnings=(
            *kit.warnings,
            *checked.notes,
            *_on_given_texts(given, checked),
            *_on_scheme(scheme),
            *ending_notices(checked.models, settings).values(),
        ),
        schemas=schemas,
        is_named=bool(options["name"]),
        renews=options["update"],
        price=options.get("price"),
    )


def _origin(
    input_path: Path,
    settings: Settings,
    options: dict[str, Any],
    *,
    schema: str | None,
    scheme: str | None,
    model: str | None,
    template: str | None,
    given: Mapping[str, str],
) -> BatchOrigin:
    """`scheme` and `template` are digests; what has its default is left out, so that names of batches stay."""
    return BatchOrigin(
        input=str(input_path.absolute()),
        schema=schema,
        scheme=scheme,
        model=model,
        template=template,
        provider=settings.provider,
        encoding=options["encoding"] or None,
        layout=options["layout"] or None,
        id_column=options["id_column"] or None,
        twins=None if options["twins"] == TwinRule.EXACT else options["twins"],
        identity=options["identity"] if options["identity"] == IdentityRule.REPLACE else None,
        roster=str(options["roster"].absolute()) if options["roster"] else None,
        effort=options["effort"],
        verbosity=options["verbosity"],
        assignment=given.get("assignment"),
        solution=given.get("solution"),
        notes=given.get("notes"),
    )


def _given_text(path: Path) -> str:
    return read_text(path, where=path.name, max_bytes=MAX_PROMPT_BYTES, encodings=Encodings(certain=True))


def _on_given_texts(given: Mapping[str, str], checked: CheckedInput) -> Iterator[str]:
    for name, text in given.items():
        if not text.strip():
            yield f"--{name} is empty: nothing of it reaches the model"
    if given and not checked.is_fenced:
        names = ", ".join(f"--{name}" for name in given)
        yield f"{names}: not used, because each row brings its whole prompt; give a --template or --rubric"


def _on_scheme(scheme: GradingScheme | None) -> Iterator[str]:
    if scheme is not None:
        if scheme.leaves_points_open:
            yield POINTS_NOT_SAID
        yield from scheme.warnings


def input_options(options: dict[str, Any]) -> InputOptions:
    """How INPUT is to be read, as the options say it."""
    return InputOptions(
        layout=options["layout"],
        is_strict=options["strict"],
        id_column=options["id_column"],
        roster=options["roster"],
    )


def _choices(settings: Settings) -> ChoiceCheck:
    profiles = load_profiles(settings.model_profiles)
    return ChoiceCheck(lambda model: profiles.find(model, settings.provider_host))


class _Nameable(Collection[str]):
    """The schema names that a row may give: those that need no context, and what the options chose.

    A row never names code: a file or module is executed because a person named it, not because a table holds its name.
    """

    def __init__(self, registry: SchemaRegistry, chosen: str | None) -> None:
        self._names = {name for name in registry.names() if name == chosen or not registry.needs_context(name)}
        if chosen is not None:
            self._names.add(chosen)

    def __contains__(self, name: object) -> bool:
        if name not in self._names and isinstance(name, str) and is_users_own(name):
            raise InvalidInput(f"a row cannot bring code: if you know the schema {name!r}, give it with --schema")
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)


def _grading_scheme(options: dict[str, Any]) -> GradingScheme | None:
    made = partial(scheme_from_options, options["rubric"], options["catalogue"])
    scheme = made(options["points"])
    if scheme is not None and options["schema"] not in {None, scheme.schema}:
        option = "--rubric" if options["rubric"] else "--catalogue"
        raise InvalidInput(f"{option} makes the schema {scheme.schema}; leave --schema out")
    return answered(scheme, made) if scheme is not None else None


def _derived_name(input_path: Path, origin: BatchOrigin) -> str:
    """The same command finds its own batch again, one of an earlier release too: null means not set."""
    content = {
        "input": origin.input,
        "schema": origin.schema,
        "scheme": origin.scheme,
        "model": origin.model,
        "template": origin.template,
        "provider": origin.provider,
        **({"given": origin.given} if origin.given else {}),
        **({"encoding": origin.encoding} if origin.encoding else {}),
        **({"layout": origin.layout} if origin.layout else {}),
        **({"id_column": origin.id_column} if origin.id_column else {}),
        **({"twins": origin.twins} if origin.twins else {}),
        **({"identity": origin.identity} if origin.identity else {}),
        **({"effort": origin.effort} if origin.effort else {}),
        **({"verbosity": origin.verbosity} if origin.verbosity else {}),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return f"{input_path.absolute().stem}-{digest}"


def parameters_of(options: dict[str, Any]) -> JobParameters:
    """The parameters that options gave, the contract's defaults for the rest."""
    given = {
        "temperature": options["temperature"],
        "max_tokens": options["max_tokens"],
        "effort": options["effort"],
        "verbosity": options["verbosity"],
        "max_retries": options["max_retries"],
        "retry_delay_seconds": _seconds("--retry-delay", options["retry_delay"]),
        "allow_repair": options["allow_repair"],
        "fallback_model": options["fallback_model"],
        "evidence": None if options["evidence"] == "flag" else options["evidence"],
        "counterfactual": options["counterfactual"] or None,
        "deadline_seconds": _seconds("--deadline", options["deadline"]),
    }
    return JobParameters(**{name: value for name, value in given.items() if value is not None})


def _seconds(option: str, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return duration_seconds(value)
    except InvalidInput as error:
        raise InvalidInput(error.message, where=option) from None
