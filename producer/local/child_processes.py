"""How children are started: which interpreter flags, which folder, and what of our environment each of them gets.

The one place that builds a child's environment. A child never imports from the working folder (`-P`, and it starts in
`/`), reads no settings file, and gets the settings and secrets of its role alone.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING

from pydantic import SecretStr

from producer.local.inherited import WORKER_PREFIXES, inherited
from workers.settings import NO_FILES, Settings, environment_name

if TYPE_CHECKING:
    from collections.abc import Mapping


class Role(Enum):
    """What a child is for."""

    WORKER = "worker"
    PAGE = "page"
    STANDIN = "stand-in"
    """It makes answers up: it needs no setting, no key and no service."""


_WITHHELD = {
    Role.WORKER: frozenset(
        {
            "account",
            "dashboard_password",
            "grader_password",
            "viewer_password",
            "oidc_secrets",
            "roles",
            "nightly",
            "downloads",
        }
    ),
    Role.PAGE: frozenset({"openai_api_key", "nightly", "notify", "notify_secret", "smtp_url", "mail_from"}),
    Role.STANDIN: frozenset(Settings.model_fields),
}
"""Fields of `Settings` that a role does not get."""
_FURTHER_PREFIXES = {
    Role.WORKER: WORKER_PREFIXES,
    Role.PAGE: ("PG", "STREAMLIT_"),
    Role.STANDIN: (),
}
"""Variables of libraries that a role uses: libpq's, the SDK's, Streamlit's."""


def child_environment(
    role: Role, settings: Settings | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment of a child: the system's variables, and of the settings those its role may have."""
    ours = os.environ if environment is None else environment
    given = {} if settings is None else _written(settings, role)
    return {**inherited(ours, _FURTHER_PREFIXES[role]), **given, NO_FILES: "1"}


def _written(settings: Settings, role: Role) -> dict[str, str]:
    """The settings that are set, as the child reads them again."""
    found = {}
    for field in sorted(settings.model_fields_set - _WITHHELD[role]):
        value = getattr(settings, field)
        if value is None:
            continue
        found[environment_name(field)] = _text(value)
    return found | (_account_keys(settings) if role is Role.WORKER else {})


def _account_keys(settings: Settings) -> dict[str, str]:
    """Keys of named accounts that are in variables; a worker reads those in files itself."""
    return {
        each.key_variable: each.key.get_secret_value()
        for each in settings.named_accounts.values()
        if each.key_variable is not None and each.key is not None
    }


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(int(value)) if isinstance(value, bool) else str(value)
