"""Refusals as other providers and gateways write them: status, headers and body of each, with where it was read.

*Source*: Google: github.com/cequence-io/openai-scala-client/issues/109 and github.com/voideditor/void/issues/557; xAI:
github.com/continuedev/continue/issues/10778; Alibaba Cloud: help.aliyun.com, "Error codes"; Anthropic:
github.com/anthropics/claude-code/issues/4208; LiteLLM: measured with its proxy 1.108; llama.cpp: its server, October
2026; aimock 1.43 for the reset that its own Retry-After contradicts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ops.standin.errors import ApiError
from ops.standin.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

_HTML = "<html><head><title>403 Forbidden</title></head><body>Request blocked.</body></html>"
# No id under the usual name: an empty header is taken away.
_GATEWAY_HEADERS = {
    "x-request-id": "",
    "x-litellm-call-id": "call-standin",
    "llm_provider-x-request-id": "req_upstream",
}


class ForeignRefusalError(ApiError):
    """A refusal whose body is not the usual error object."""

    def __init__(self, status: int, content: object, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, "refused", headers=headers)
        self._content = content
        if isinstance(content, str):
            self.content_type = "text/html"

    def body(self) -> bytes:
        """The content as it is, or as JSON."""
        return self._content.encode() if isinstance(self._content, str) else json.dumps(self._content).encode()


def foreign_refusal(fault: Fault) -> ForeignRefusalError:
    """The refusal that this fault asks for; KeyError for a fault that is none of these."""
    status, content, headers = _REFUSALS[fault]
    return ForeignRefusalError(status, content, headers=headers)


def _google(status: int, message: str, name: str, detail: Mapping[str, object]) -> object:
    return [{"error": {"code": status, "message": message, "status": name, "details": [detail]}}]


def _error(message: str, kind: str | None = None, code: str | None = None, param: str | None = None) -> object:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_REFUSALS: Mapping[Fault, tuple[int, object, Mapping[str, str]]] = {
    Fault.KEY_INVALID_400: (
        400,
        _google(
            400,
            "API key not valid. Please pass a valid API key.",
            "INVALID_ARGUMENT",
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
        ),
        {},
    ),
    Fault.KEY_INVALID_WORDS: (
        400,
        {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: st***in."},
        {},
    ),
    Fault.OVERDUE_400: (
        400,
        _error("Access denied, please make sure your account is in good standing.", "Arrearage", "Arrearage"),
        {},
    ),
    Fault.CREDIT_WORDS_400: (
        400,
        _error(
            "Your credit balance is too low to access the API. Please go to Plans & Billing.", "invalid_request_error"
        ),
        {},
    ),
    Fault.FORBIDDEN_HTML: (403, _HTML, {}),
    Fault.UNLISTED_400: (400, _error("This workspace is on hold; ask its owner.", "workspace_on_hold"), {}),
    Fault.WAIT_IN_DETAILS: (
        429,
        _google(
            429,
            "You exceeded your current quota, please check your plan and billing details. For more information on this "
            "error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.",
            "RESOURCE_EXHAUSTED",
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"},
        ),
        {},
    ),
    Fault.WAIT_IN_WORDS: (429, _error("Rate limit reached. Please try again in 1s.", "requests"), {}),
    Fault.WAIT_EPOCH: (
        429,
        _error("Rate limit reached.", "requests", "rate_limit_exceeded"),
        {"Retry-After": "1795763845"},
    ),
    Fault.WAIT_DAY: (503, _error("Down for maintenance.", "server_error"), {"Retry-After": "86400"}),
    Fault.WAIT_CONTRADICTED: (
        429,
        _error("Rate limit reached.", "tokens", "rate_limit_exceeded"),
        {
            "Retry-After": "1",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "6m0s",
        },
    ),
    Fault.UPSTREAM_TIMEOUT: (
        408,
        _error("litellm.Timeout: Request timed out.", "timeout_error", "408"),
        _GATEWAY_HEADERS,
    ),
    Fault.CONFLICT: (409, _error("The resource is in use.", "conflict_error"), {}),
    Fault.GATEWAY_BUDGET: (
        422,
        _error("Budget has been exceeded! Current cost: 1.0, Max budget: 1.0", "budget_exceeded", "422"),
        _GATEWAY_HEADERS,
    ),
    Fault.GATEWAY_BILLING: (
        429,
        _error(
            "litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your current quota, please check "
            "your plan and billing details.",
            "throttling_error",
            "429",
        ),
        _GATEWAY_HEADERS,
    ),
    Fault.GATEWAY_POLICY: (
        400,
        _error(
            "litellm.BadRequestError: litellm.ContentPolicyViolationError: OpenAIException - Your request was rejected "
            "as a result of our safety system.",
            None,
            "400",
        ),
        _GATEWAY_HEADERS,
    ),
    Fault.GATEWAY_COOLDOWN: (
        429,
        _error(
            "No deployments available for selected model, Try again in 1 seconds. Passed model=standin.",
            "throttling_error",
            "all_deployments_in_cooldown",
        ),
        _GATEWAY_HEADERS,
    ),
    Fault.GATEWAY_RATE_LIMIT: (
        429,
        _error(
            "litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached.", "throttling_error", "429"
        ),
        _GATEWAY_HEADERS | {"llm_provider-retry-after": "1"},
    ),
    Fault.UNSUPPORTED_PARAMETER: (
        400,
        _error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'.",
            "invalid_request_error",
            "unsupported_parameter",
            "max_tokens",
        ),
        {},
    ),
    Fault.CONTEXT_SIZE: (
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 5_000,
                "n_ctx": 4_096,
            }
        },
        {},
    ),
    Fault.REDIRECT: (307, "", {"Location": "/v1/chat/completions"}),
}
