"""The options that say how jobs are made, and the checked order that comes of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.commands.shared import data_dir_option
from producer.inputs import CheckedInput, check_items, duration_seconds
from producer.scheme import GradingScheme, scheme_from_options
from producer.templates import Template
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters, QueueName
from workers.contract.registry import SchemaRegistry, builtin_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from workers.settings import Settings

STANDIN_MODEL = "standin"
"""The model of offline jobs that name none."""


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command: `run`, `enqueue` and `estimate` make jobs in the same way."""
    options = (
        click.option("--schema", help="Schema of the answers: a built-in name or module:Model."),
        click.option("--model", help="Model to ask [default: GRADEQUEUE_MODEL]."),
        click.option(
            "--template",
            type=click.Path(path_type=Path),
            help="Text file in which {submission}, {id} and any column stand.",
        ),
        click.option(
            "--rubric",
            metavar="FILE[#ID]",
            help="Grade by a rubric: the model chooses levels, code computes the points.",
        ),
        click.option(
            "--catalogue",
            metavar="FILE[#COURSE[/ASSIGNMENT]]",
            help="Grade by an error catalogue: the model reports errors, code computes the deduction.",
        ),
        click.option("--name", help="Batch name [default: derived from input, schema, model, template, provider]."),
        click.option(
            "--queue",
            type=click.Choice([str(queue) for queue in QueueName]),
            default=str(QueueName.BULK),
            show_default=True,
            help="Where the jobs wait.",
        ),
        click.option("--offline", is_flag=True, help="Grade with the stand-in provider; its grades are not real."),
        click.option("--temperature", type=float, help="Sampling temperature, 0 to 2 [default: 0.2]."),
        click.option("--max-tokens", type=int, help="Longest answer [default: 4096]."),
        click.option("--max-retries", type=int, help="Attempts after the first one [default: 3]."),
        click.option("--retry-delay", help="First wait between attempts; it doubles [default: 1s]."),
        click.option("--allow-repair", is_flag=True, default=None, help="Show an invalid answer to the model once."),
        click.option("--fallback-model", help="Model to ask when the first one keeps failing."),
        click.option("--deadline", help="Longest wait for a job, such as 90s, 15m, 2h, 1d."),
        data_dir_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A checked input with the name its batch has, and the context its schema is built from."""

    name: str
    checked: CheckedInput
    origin: dict[str, object]
    context: Mapping[str, object] | None
    warnings: tuple[str, ...]


def checked_order(input_path: Path, settings: Settings, options: dict[str, Any]) -> Order:
    """Read the whole input and check it against everything the options say; raises `InvalidInput`."""
    template = Template.load(options["template"]) if options["template"] else None
    scheme = _grading_scheme(options)
    schema = scheme.schema if scheme else options["schema"]
    model = options["model"] or settings.model or (STANDIN_MODEL if settings.offline else None)
    registry = builtin_registry()
    if schema is not None:
        registry.resolve(schema, scheme.context if scheme else None)
    checked = check_items(
        input_path,
        template=template,
        schema=schema,
        model=model,
        parameters=parameters_of(options),
        known_schemas=_Resolvable(registry, schema),
        wrap_prompt=scheme.wrap_prompt if scheme else None,
    )
    origin: dict[str, object] = {
        "input": str(input_path.absolute()),
        "schema": schema,
        "scheme": scheme.digest if scheme else None,
        "model": model,
        "template": template.sha256 if template else None,
        "provider": settings.provider,
    }
    return Order(
        name=options["name"] or _derived_name(input_path, origin),
        checked=checked,
        origin={**origin, "template_text": template.text if template else None},  # regrading reads it
        context=scheme.context if scheme else None,
        warnings=scheme.warnings if scheme else (),
    )


class _Resolvable(Collection[str]):
    """The schema names that a row may give: those that need no context, and what the options chose."""

    def __init__(self, registry: SchemaRegistry, chosen: str | None) -> None:
        self._registry = registry
        self._names = {name for name in registry.names() if name == chosen or not registry.needs_context(name)}

    def __contains__(self, name: object) -> bool:
        if name not in self._names and isinstance(name, str) and ":" in name:
            self._registry.resolve(name)
            self._names.add(name)
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)


def _grading_scheme(options: dict[str, Any]) -> GradingScheme | None:
    scheme = scheme_from_options(options["rubric"], options["catalogue"])
    if scheme is not None and options["schema"] not in {None, scheme.schema}:
        option = "--rubric" if options["rubric"] else "--catalogue"
        raise InvalidInput(f"{option} makes the schema {scheme.schema}; leave --schema out")
    return scheme


def _derived_name(input_path: Path, origin: dict[str, object]) -> str:
    """The same command finds its own batch again."""
    digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:8]
    return f"{input_path.absolute().stem}-{digest}"


def parameters_of(options: dict[str, Any]) -> JobParameters:
    """The parameters that options gave, the contract's defaults for the rest."""
    given = {
        "temperature": options["temperature"],
        "max_tokens": options["max_tokens"],
        "max_retries": options["max_retries"],
        "retry_delay_seconds": _seconds("--retry-delay", options["retry_delay"]),
        "allow_repair": options["allow_repair"],
        "fallback_model": options["fallback_model"],
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
