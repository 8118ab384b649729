"""OpenAI's errors as values of one exception: status, body and headers exactly as they go over the wire.

Any module of the stand-in may raise an ApiError; only the server turns one into a response.
*Source*: bodies quoted in public issue threads of client libraries, 2023-2026, and the API's public error guide.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RATE_LIMIT_HELP = "Visit https://platform.openai.com/account/rate-limits to learn more."


class ApiError(Exception):
    """An answer other than 200. No message repeats prompt text; a key is masked as OpenAI masks it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    content_type = "application/json"

    def body(self) -> bytes:
        """The JSON body, with the four members OpenAI always sends."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return json.dumps({"error": error}, indent=2).encode()


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """A 400 that sending the same request again cannot cure."""
    return ApiError(400, message, param=param, code=code)


def missing_key() -> ApiError:
    """No bearer token came with the request."""
    return ApiError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the "
        "API from your browser and are prompted for a username and password.",
    )


def wrong_key(key: str) -> ApiError:
    """The key is not valid; the message shows only its first and last characters."""
    shown = f"{key[:6]}{'*' * 8}{key[-4:]}" if len(key) > len("sk-bad") + 4 else "*" * len(key)
    return ApiError(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")


def out_of_credit(code: str = "insufficient_quota") -> ApiError:
    """A 429 about money: waiting does not help, so nothing in it invites a retry."""
    message = "You exceeded your current quota, please check your plan and billing details."
    kind = "insufficient_quota" if code == "insufficient_quota" else "invalid_request_error"
    return ApiError(429, message, kind=kind, code=code)


def unknown_model(model: str) -> ApiError:
    """The model's name is not in the catalogue."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found")


def unknown_url(method: str, path: str) -> ApiError:
    """Nothing is served at this path."""
    return ApiError(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str, path: str) -> ApiError:
    """The path exists, for another method."""
    return ApiError(405, f"Invalid method for URL ({method} {path})", code="method_not_supported")


def context_too_long(context_tokens: int, *, prompt_tokens: int, answer_tokens: int) -> ApiError:
    """Prompt and reserved answer do not fit into the model's context."""
    start = f"This model's maximum context length is {context_tokens} tokens. However, "
    if prompt_tokens > context_tokens:
        end = f"your messages resulted in {prompt_tokens} tokens. Please reduce the length of the messages."
    else:
        end = (
            f"you requested {prompt_tokens + answer_tokens} tokens ({prompt_tokens} in the messages, "
            f"{answer_tokens} in the completion). Please reduce the length of the messages or completion."
        )
    return bad_request(start + end, param="messages", code="context_length_exceeded")


def request_too_large(model: str, *, limit_tokens: int, requested_tokens: int) -> ApiError:
    """One request above the whole limit per minute: no wait can ever let it in."""
    message = (
        f"Request too large for {model} in organization org-standin on tokens per min (TPM): Limit {limit_tokens}, "
        f"Requested {requested_tokens}. The input or output tokens must be reduced in order to run successfully. "
        f"{RATE_LIMIT_HELP}"
    )
    headers = {"x-should-retry": "false"}
    return ApiError(429, message, kind="tokens", code="rate_limit_exceeded", headers=headers)
