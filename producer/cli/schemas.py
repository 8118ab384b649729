from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with, json_option

if TYPE_CHECKING:
    from workers.contract.registry import SchemaRegistry


@command_with(
    "gradequeue schemas",
    "gradequeue schemas error_report",
    "gradequeue schemas course/exam.py:Review --json",
)
@click.argument("name", required=False)
@json_option
def schemas(name: str | None, *, as_json: bool) -> None:
    """List the built-in schemas, or show one as it is sent to the model.

    NAME is a built-in name, or your own schema as file.py:Model.
    """
    from workers.contract.registry import builtin_registry
    from workers.contract.schema_files.lookup import LocalSchemas
    from workers.contract.strict.schema import strict_schema

    registry = builtin_registry(finder=LocalSchemas(Path.cwd()))
    if name is None:
        _list(registry, as_json=as_json)
        return
    entry = registry.resolve(name)
    shown = {"name": entry.name, "fingerprint": entry.fingerprint, "schema": strict_schema(entry.model)}
    click.echo(json.dumps(shown, indent=None if as_json else 2))


def _list(registry: SchemaRegistry, *, as_json: bool) -> None:
    from producer.terminal.console import out

    described = {known: registry.describe(known) for known in registry.names()}
    if as_json:
        click.echo(json.dumps(described))
        return
    for known, description in described.items():
        needs = " (needs --rubric or --catalogue)" if registry.needs_context(known) else ""
        out.print(f"{known:20} {description}{needs}")
