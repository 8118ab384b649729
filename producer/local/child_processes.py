"""How children are started: which interpreter flags, which folder, and what of our environment each of them gets.

The one place that builds a child's environment. A child never imports from the working folder (`-P`, and it starts in
`/`), reads no settings file, and gets the settings and secrets of its role alone.
"""

from __future__ import annotations

import os
import sys
from enum import Enum
from typing import TYPE_CHECKING

from pydantic import SecretStr

from workers.confinement import PATH_VARIABLE, SAFE_PATH, absolute_entries
from workers.settings import NO_FILES, Settings, environment_name

if TYPE_CHECKING:
    from collections.abc import Mapping

NEUTRAL_FOLDER = "/"
"""Only root writes there, so no student's file is where a library looks for its own."""

_SYSTEM = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "COLUMNS", "LINES", "NO_COLOR",
        "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SOURCE_DATE_EPOCH",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "MALLOC_ARENA_MAX",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    }
)  # fmt: skip
"""What any program may need to run, find its files and reach the network."""
_SYSTEM_PREFIXES = ("LC_", "XDG_")
_PYTHON = frozenset({"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONUTF8", "PYTHONHASHSEED", "PYTHONWARNINGS"})


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
    Role.WORKER: ("PG", "OPENAI_ORG", "OPENAI_PROJECT"),
    Role.PAGE: ("PG", "STREAMLIT_"),
    Role.STANDIN: (),
}
"""Variables of libraries that a role uses: libpq's, the SDK's, Streamlit's."""


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter, without the working folder on its path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(
    role: Role, settings: Settings | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment of a child: the system's variables, and of the settings those its role may have."""
    ours = os.environ if environment is None else environment
    prefixes = (*_SYSTEM_PREFIXES, *_FURTHER_PREFIXES[role])
    passed = {
        name: value for name, value in ours.items() if name in _SYSTEM or name in _PYTHON or name.startswith(prefixes)
    }
    if python_path := absolute_entries(ours.get(PATH_VARIABLE, "")):
        passed[PATH_VARIABLE] = python_path
    given = {} if settings is None else _written(settings, role)
    return {**passed, **given, SAFE_PATH: "1", NO_FILES: "1"}


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
