"""What `pause` and `resume` share: how a target is named, and what is said of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from producer.terminal.console import out, write_data
from workers.contract.errors import AmbiguousTarget, InvalidInput, UnknownTarget
from workers.store.pauses import PauseScope, find_target

if TYPE_CHECKING:
    from pathlib import Path

    from producer.local.steering import Steered
    from workers.store import Store


def scope_of(kind: str | None) -> PauseScope | None:
    """The scope that `--kind` names."""
    return None if kind is None else PauseScope(kind)


def meant(
    store: Store, data_dir: Path | None, name: str | None, kind: str | None, account: str | None
) -> tuple[str, PauseScope | None]:
    """Name and scope of what was named; the name of an account as batches have it.

    Raises `InvalidInput` and, for an account that nobody knows, `UnknownAccount`.
    """
    from producer.local.accounts import account_meant, short_names
    from workers.settings import load_settings

    if (name is None) == (account is None):
        raise InvalidInput("name a batch, a model, an account or a queue, or give --account NAME")
    if account is not None and kind not in {None, "account"}:
        raise InvalidInput(f"--account names an account; leave --kind {kind} out")
    settings, scope = load_settings(data_dir=data_dir), scope_of("account" if account is not None else kind)
    given = account or name or ""
    with store.snapshot() as connection:
        if scope is PauseScope.ACCOUNT:
            return account_meant(connection, settings, given), scope
        names = short_names(settings)
        if scope is not None or given not in names:
            return given, scope
        try:
            target = find_target(connection, given)
        except UnknownTarget:
            return names[given], PauseScope.ACCOUNT
    raise AmbiguousTarget(f"{given!r} is the name of a {target.scope} and of an account; choose one with --kind")


def print_steered(steered: Steered, line: str, *, is_paused: bool, as_json: bool) -> None:
    """The line, or one JSON object."""
    if not as_json:
        out.print(line, soft_wrap=True)
        return
    told = {
        "kind": str(steered.target.scope),
        "name": steered.target.name,
        "paused": is_paused,
        "changed": steered.has_changed,
    }
    write_data(json.dumps(told, ensure_ascii=False) + "\n")
