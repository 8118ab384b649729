"""What `pause` and `resume` share: how a target is named, and what is said of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from producer.terminal.console import out, write_data
from workers.store.pauses import PauseScope

if TYPE_CHECKING:
    from producer.local.steering import Steered


def scope_of(kind: str | None) -> PauseScope | None:
    """The scope that `--kind` names."""
    return None if kind is None else PauseScope(kind)


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
