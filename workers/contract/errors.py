"""The errors a caller or an operator meets.

    GradequeueError
    ├── InvalidInput            for the caller to correct: a file, an option, a schema, a prompt
    │   ├── ConflictingJob      the same key with other content
    │   │   └── JobIsRunning    and it is being graded at this moment
    │   ├── UnknownTarget       no batch, model, account or queue has this name
    │   ├── AmbiguousTarget     several of them have it
    │   └── UnknownSchema       no schema has this name here
    │       └── UntrustedSchema its file came from the store, and nobody allowed it on this host
    ├── ServiceUnavailable      for the operator to correct: store, broker, provider, disk
    └── ContractViolation       for the programmer to correct: an impossible transition

`str()` of each says what to do next, and never holds a prompt, an answer or a key.
"""

from __future__ import annotations


class GradequeueError(Exception):
    """Root of every error this project raises on purpose."""


class InvalidInput(GradequeueError):  # noqa: N818 - reads as what happened, like the rest of the tree
    """What the caller gave cannot be used; nothing was enqueued.

    `where` names the file and line, the option or the setting, when one is to blame.
    """

    def __init__(self, message: str, *, where: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.where = where

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_invalid_input, (type(self), self.message, self.where)


class ConflictingJob(InvalidInput):
    """A job with this batch and id exists with another prompt, schema, model or parameters."""


class JobIsRunning(ConflictingJob):
    """The job with this id is being graded at this moment, so its work cannot be replaced yet."""


class UnknownTarget(InvalidInput):
    """No batch, model, account or queue has this name."""


class AmbiguousTarget(InvalidInput):
    """Several of batch, model, account and queue have this name."""


class UnknownSchema(InvalidInput):
    """No schema has this name here."""


class UntrustedSchema(UnknownSchema):
    """The schema's source came from the store, and may not be executed on this host."""


class ServiceUnavailable(GradequeueError):  # noqa: N818 - as above
    """A service the command needs does not answer. `service` is "store", "broker", "provider" or "disk"."""

    def __init__(self, service: str, message: str) -> None:
        super().__init__(message)
        self.service = service

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.service, str(self))


class ContractViolation(GradequeueError):  # noqa: N818 - as above
    """Code of ours broke a rule of its own; a report with the job id helps."""


def _rebuild_invalid_input(kind: type[InvalidInput], message: str, where: str | None) -> InvalidInput:
    return kind(message, where=where)
