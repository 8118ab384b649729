"""What every child of ours inherits: interpreter flags, folder, and the system's variables.

Imports only the standard library, so that a child can start before anything else is loaded. What a child gets of the
settings is for `child_processes` to say.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from workers.confinement import PATH_VARIABLE, SAFE_PATH, absolute_entries

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
WORKER_PREFIXES = ("PG", "OPENAI_ORG", "OPENAI_PROJECT")
"""Variables of libraries that a worker uses: libpq's and the SDK's."""


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter, without the working folder on its path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def inherited(environment: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    """The system's variables, Python's, and those of libraries with these prefixes; no setting of ours."""
    prefixes = (*_SYSTEM_PREFIXES, *prefixes)
    passed = {
        name: value
        for name, value in environment.items()
        if name in _SYSTEM or name in _PYTHON or name.startswith(prefixes)
    }
    if python_path := absolute_entries(environment.get(PATH_VARIABLE, "")):
        passed[PATH_VARIABLE] = python_path
    return {**passed, SAFE_PATH: "1"}
