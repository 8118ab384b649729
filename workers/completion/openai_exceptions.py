"""The two errors of `get_structured_completion`.

    Exception
    ├── OpenAITransportError          no answer came, or the provider refused the request
    └── OpenAISchemaValidationError   an answer came, and is not a valid result

`str()` of either never holds a prompt or an answer; `raw_output` and `validation_errors` do. Both survive pickling:
the message is the one argument, everything else travels as attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class OpenAITransportError(Exception):
    """No usable answer came from the provider.

    `kind` is a failure kind (`rejected_request`, `context_too_long`, `provider_unavailable`), an account state
    (`quota_exhausted`, `auth_failed`), `rate_limited` or `timed_out`. `retry_after` is whole seconds, rounded up.
    `attempt_count` is how many requests were sent, `correlation_id` the call's own name in the log.
    """

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        retry_after: int | None = None,
        correlation_id: str | None = None,
        attempt_count: int | None = None,
        *,
        kind: str = "provider_unavailable",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.retry_after = retry_after
        self.correlation_id = correlation_id
        self.attempt_count = attempt_count
        self.kind = kind


class OpenAISchemaValidationError(Exception):
    """The model answered, but not with a valid result.

    `kind` is `refused`, `truncated`, `content_filtered` or `invalid_output`. `validation_errors` is safe for JSON;
    `raw_output` is the answer as it came, and for a refusal the model's own words. `decision_notes` says how the answer
    ended, without its words; `attempt_count` and `correlation_id` as in `OpenAITransportError`.
    """

    def __init__(  # noqa: PLR0917 - the signature its users call
        self,
        message: str,
        schema_name: str | None = None,
        validation_errors: Sequence[Mapping[str, object]] | None = None,
        raw_output: str | None = None,
        correlation_id: str | None = None,
        decision_notes: str | None = None,
        attempt_count: int | None = None,
        *,
        kind: str = "invalid_output",
        refusal: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.schema_name = schema_name
        self.validation_errors = list(validation_errors or ())
        self.raw_output = raw_output
        self.correlation_id = correlation_id
        self.decision_notes = decision_notes
        self.attempt_count = attempt_count
        self.kind = kind
        self.refusal = refusal
