"""What a command says to a script. Imports nothing heavy: every command's declaration loads it."""

from __future__ import annotations

from enum import IntEnum

from workers.contract.errors import (
    AmbiguousTarget,
    ConflictingJob,
    ContractViolation,
    InvalidInput,
    ServiceUnavailable,
    UnknownSchema,
    UnknownTarget,
    UntrustedSchema,
)


class ExitStatus(IntEnum):
    """The command's exit status."""

    SUCCEEDED = 0
    SOME_FAILED = 1
    WRONG_USE = 2
    SERVICE_MISSING = 3
    JOBS_WAIT = 4
    INTERRUPTED = 130


def exit_status_of(error: Exception) -> ExitStatus:
    """3 when a service is missing, 2 for everything the caller can correct."""
    return ExitStatus.SERVICE_MISSING if isinstance(error, ServiceUnavailable) else ExitStatus.WRONG_USE


def error_code_of(error: Exception) -> str:
    """What `--json` says of an error: a word that stays the same whatever the message says."""
    if isinstance(error, ServiceUnavailable):
        return f"{error.service}_unavailable"
    if type(error).__name__ == UNKNOWN_ACCOUNT:
        return "unknown_account"
    return next((code for kind, code in _ERROR_CODES.items() if isinstance(error, kind)), "invalid_setting")


UNKNOWN_ACCOUNT = "UnknownAccount"
"""Of the settings, which no command's declaration loads."""


_ERROR_CODES: dict[type[Exception], str] = {
    UnknownTarget: "unknown_target",
    AmbiguousTarget: "ambiguous_target",
    ConflictingJob: "conflicting_job",
    UntrustedSchema: "untrusted_schema",
    UnknownSchema: "unknown_schema",
    InvalidInput: "invalid_input",
    ContractViolation: "internal",
}
"""The narrower kinds first."""
