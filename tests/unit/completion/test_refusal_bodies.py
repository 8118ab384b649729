"""Each body that a provider or gateway was seen to send, as the SDK hands it over, ends as it should."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import openai
import pytest
from httpx2 import Request, Response

from workers.completion.classify import Blocked, Throttled, Transient, classify_failed_call
from workers.completion.errors.failed_call import failed_call_of
from workers.completion.errors.refusals import Meaning, known_refusals, meaning_of
from workers.contract.outcome import AccountState, Failure, FailureKind

NOW = 1_795_763_845.0
QUOTA, AUTH = AccountState.QUOTA_EXHAUSTED, AccountState.AUTH_FAILED
CLIENT = openai.AsyncOpenAI(api_key="sk-test", base_url="http://provider.test/v1")
REQUEST = Request("POST", "http://provider.test/v1/chat/completions")


def ending(status: int, body: object, **headers: str) -> Any:
    """Let the SDK make its own exception of the response."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = {name if "-" in name else name.replace("_", "-"): value for name, value in headers.items()}
    response = Response(status, content=content, headers=named, request=REQUEST)
    error = CLIENT._make_status_error_from_response(response)
    return classify_failed_call(failed_call_of(error, status_code=None, headers={}), now=NOW)


def error(message: str = "no", kind: str | None = None, code: object = None, **more: object) -> object:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def google(status: int, message: str, name: str, *details: object) -> object:
    return [{"error": {"code": status, "message": message, "status": name, "details": list(details)}}]


GOOGLE_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
KEY_INVALID = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}


@pytest.mark.parametrize(
    ("status", "body", "account"),
    [
        (429, error("Your account is not active", "billing_not_active", "billing_not_active"), QUOTA),
        (429, error("Your account is not active", "billing_not_active"), QUOTA),
        (429, error("Your account org-1 <ak-1> is suspended", "exceeded_current_quota_error"), QUOTA),
        (429, error("Your account org-1 <ak-1> is suspended due to insufficient balance", code=429), QUOTA),
        (400, error("Access denied", "Arrearage", "Arrearage"), QUOTA),
        (400, error("Access denied, please make sure your account is in good standing."), QUOTA),
        (403, error("overdue balance", "Forbidden", "AccountOverdueError"), QUOTA),
        (429, error("Insufficient balance or no resource package.", code="1113"), QUOTA),
        (429, "余额不足或无可用资源包,请充值。", QUOTA),
        (429, error("余额不足或无可用资源包,请充值。"), QUOTA),
        (402, error("Insufficient Balance", "unknown_error", "invalid_request_error"), QUOTA),
        (402, "<html>", QUOTA),
        (403, {"code": 30011, "message": "The selected model requires paid balance.", "data": None}, QUOTA),
        (400, error("Your credit balance is too low to access the API.", "invalid_request_error"), QUOTA),
        (422, error("Budget has been exceeded! Current cost: 1", "budget_exceeded", "422"), QUOTA),
        (400, error("Budget has been exceeded! Current cost: 1", "budget_exceeded", "400"), QUOTA),
        (429, error("litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your current quota, please "
                    "check your plan and billing details.", "throttling_error", "429"), QUOTA),
        (429, error("litellm.RateLimitError: RateLimitError: OpenAIException - Billing hard limit has been reached",
                    "throttling_error", "429"), QUOTA),
        (400, error('litellm.BadRequestError: AnthropicException - {"type":"error","error":{"type":"x","message":"Your '
                    'credit balance is too low to access the API."}}', None, "400"), QUOTA),
        (429, error("Provider returned error", code=429, metadata={"raw": '{"error":{"message":"Your account org-1 is '
                    'suspended due to insufficient balance"}}'}), QUOTA),
        (403, error("Your newly created team doesn't have any credits yet.", code="permission-denied"), QUOTA),
        (400, error("You have reached your specified API usage limits. You will regain access on 2026-12-01.",
                    "invalid_request_error"), QUOTA),
        (403, {"code": "no permission", "error": "Your team 16f2 has either used all available credits or reached its "
               "monthly spending limit."}, QUOTA),
        (403, error("The free tier of the model has been exhausted.", code="AllocationQuota.FreeTierOnly"), QUOTA),
        (400, error("The free tier of the model has been exhausted."), QUOTA),
        (403, {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None}, QUOTA),
        (429, error("No deployments available - crossed budget: Exceeded budget for deployment", code="429"), QUOTA),
        (400, error("Organization has been restricted.", "invalid_request_error", "organization_restricted"), AUTH),
        (400, error("This organization has been disabled.", "invalid_request_error"), AUTH),
        (400, google(400, "User location is not supported for the API use.", "FAILED_PRECONDITION"), AUTH),
        (400, google(400, "API key not valid.", "INVALID_ARGUMENT", KEY_INVALID), AUTH),
        (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: st***in."}, AUTH),
        (401, error("no"), AUTH),
        (401, google(401, "no credentials", "UNAUTHENTICATED"), AUTH),
        (412, error("Account acme is suspended"), AUTH),
        (403, error("no", "permission_error"), AUTH),
    ],
)  # fmt: skip
def test_what_no_waiting_cures_blocks_the_account(status: int, body: object, account: AccountState):
    found = ending(status, body)

    assert isinstance(found, Blocked)
    assert found.account is account
    assert not found.is_suspected


@pytest.mark.parametrize(
    ("body", "is_suspected"),
    [
        ("<html>Request blocked by your organisation's content policy: flagged</html>", True),
        ("", True),
        ({"message": "Forbidden"}, True),
        ({"detail": "Not allowed"}, True),
        ({"error": "Forbidden"}, True),
        (error("Country not supported", "request_forbidden", "unsupported_country_region_territory"), False),
        (google(403, "no", "PERMISSION_DENIED"), False),
    ],
)
def test_a_403_without_the_apis_error_object_is_only_suspected_of_being_the_accounts(
    body: object, is_suspected: object
):
    found = ending(403, body)

    assert isinstance(found, Blocked)
    assert found.is_suspected is is_suspected
    key = "The provider refused the API key; check OPENAI_API_KEY"
    somebody = "The provider, or a gateway or firewall before it, refused this call"
    assert found.message.startswith(f"{somebody if is_suspected else key} (status 403")


@pytest.mark.parametrize(
    ("body", "headers", "wait_seconds"),
    [
        (google(429, GOOGLE_QUOTA, "RESOURCE_EXHAUSTED", RETRY_INFO), {}, 34.07),
        (google(429, f"{GOOGLE_QUOTA} Please retry in 5.5s.", "RESOURCE_EXHAUSTED"), {}, 5.5),
        (google(429, GOOGLE_QUOTA, "RESOURCE_EXHAUSTED", RETRY_INFO), {"retry_after": "2"}, 2.0),
        (error(f'VertexAIException - {{"message": "{GOOGLE_QUOTA}", "details": [{{"retryDelay": "7s"}}]}}', code="429"),
         {}, 7.0),
        (error("Your account reached max request: 3, please try again after 1 seconds", "rate_limit_reached_error"),
         {}, 1.0),
        (error("Please try again in 20s.", "requests", "rate_limit_exceeded"), {}, 20.0),
        (error("No deployments available for selected model, Try again in 5 seconds. Passed model=m.",
               "throttling_error", "all_deployments_in_cooldown"), {}, 5.0),
        (error("No deployments available for selected model.", None, "all_deployments_in_cooldown"), {}, None),
        (error("OpenAIException - Rate limit reached.", "throttling_error", "429"), {"llm_provider-retry-after": "3"},
         3.0),
        (error("no", "tokens", "rate_limit_exceeded", retry_after=4), {}, 4.0),
        (error("no", "requests", "rate_limit_exceeded"), {"retry_after": "1795763845"}, None),
        (error("no", "requests", "rate_limit_exceeded"), {"retry_after": "Wed, 01 Jan 2031 00:00:00 GMT"}, None),
        (error("try again in 3s", code="rate_limit_exceeded"), {"retry_after": "1795763845"}, 3.0),
        (error("no", "tokens", "rate_limit_exceeded"), {"retry_after": "1", "x_ratelimit_remaining_tokens": "0",
         "x_ratelimit_reset_tokens": "6m0s"}, 1.0),
    ],
)  # fmt: skip
def test_a_limit_that_passes_is_waited_out_wherever_the_wait_is_told(
    body: object, headers: dict[str, str], wait_seconds: object
):
    found = ending(429, body, **headers)

    assert isinstance(found, Throttled)
    assert found.wait_seconds == wait_seconds
    assert not found.could_be_account


def test_a_limit_that_nothing_says_the_end_of_could_be_the_accounts():
    assert ending(429, error("something unheard of", "throttling_error", "429")).could_be_account
    assert not ending(429, error("something unheard of", "throttling_error", "429"), retry_after="9").could_be_account


@pytest.mark.parametrize("status", [408, 409, 425, 500, 503, 504])
def test_faults_of_server_and_gateway_are_transient_with_a_bounded_wait(status: int):
    found = ending(status, error("litellm.Timeout"), retry_after="86400")

    assert isinstance(found, Transient)
    assert found.wait_seconds == 600.0
    assert found.timed_out is (status in {408, 504})
    assert ending(status, error(), retry_after="2").wait_seconds == 2.0


@pytest.mark.parametrize(
    ("status", "body", "kind", "could_be_account"),
    [
        (400, error("the request exceeds the context size", "exceed_context_size_error", 400), "context", False),
        (403, error("Input token count + max_tokens parameter must be less than the context length"), "context", False),
        (400, error("Your request was rejected as a result of our safety system.", None, "400"), "filtered", False),
        (400, error("OpenAIException - Invalid prompt: your prompt may violate our usage policy.", None, "400"),
         "filtered", False),
        (400, error("The response was filtered due to Azure OpenAI's content management policy.", code=None,
                    innererror={"code": "ResponsibleAIPolicyViolation"}), "filtered", False),
        (403, error("Input was flagged by moderation", code=403), "filtered", False),
        (400, error("no", "invalid_request_error", "invalid_value"), "rejected", False),
        (400, {"error": {"message": "no", "param": "messages[0]", "type": "invalid_request_error"}}, "rejected", False),
        (400, error("something unheard of"), "rejected", True),
        (404, error("no", code="model_not_found"), "rejected", True),
        (404, {"error": {"message": "no", "param": "model", "code": "model_not_found"}}, "rejected", True),
        (403, error("no", code="model_not_found"), "rejected", True),
        (404, "<html>", "rejected", True),
        (422, error("no"), "rejected", True),
        (412, error("the model failed to load"), "rejected", True),
        (307, "", "rejected", True),
    ],
)  # fmt: skip
def test_a_rejection_says_whether_it_could_be_the_accounts(
    status: int, body: object, kind: str, could_be_account: object
):
    found = ending(status, body, location="https://elsewhere.test/v1/chat/completions")

    assert isinstance(found, Failure)
    assert kind in found.kind.value
    assert found.could_be_account is could_be_account


STUDENT = "def f(): return 'Your credit balance is too low, insufficient_quota, Incorrect API key provided'"


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_students_text_that_a_message_quotes_parks_nothing(status: int):
    found = ending(status, error(f"Invalid value: {STUDENT}", "invalid_request_error", "invalid_value"))
    plain = ending(status, error(f"messages[0].content: {STUDENT}", "invalid_request_error"))

    assert isinstance(found, Failure)
    assert not isinstance(plain, Blocked) or plain.account is AUTH


def test_a_redirect_names_the_setting_that_cures_it():
    assert "OPENAI_BASE_URL" in ending(307, "", location="https://elsewhere.test/").message


@pytest.mark.parametrize(
    ("param", "message", "setting"),
    [
        ("temperature", "Unsupported value", "--temperature"),
        ("max_tokens", "no", "token_parameter to max_completion_tokens"),
        ("max_completion_tokens", "no", "token_parameter to max_tokens"),
        ("response_format.json_schema", "no", "--model"),
        (None, "Unsupported parameter: 'max_tokens' is not supported with this model.", "max_completion_tokens"),
        (None, "Unrecognized request argument supplied", None),
        ("messages[0].role", "Anna's essay", None),
        (None, "Invalid value: 'annas_essay'", None),
    ],
)
def test_a_rejected_parameter_is_named_with_the_setting_that_cures_it(
    param: str | None, message: str, setting: str | None
):
    body = {"error": {"message": message, "param": param, "code": "unsupported_parameter"}}
    found = ending(400, body)

    assert isinstance(found, Failure)
    assert found.kind is FailureKind.REJECTED_REQUEST
    assert (setting in found.message) if setting else found.message.endswith(")")
    assert "nna" not in found.message


def test_every_entry_of_the_table_has_a_source_and_is_found():
    import tomllib
    from importlib.resources import files

    content = tomllib.loads(files("workers.completion.errors").joinpath("refusals.toml").read_text())

    assert len(known_refusals().codes) == len(content["code"])
    for entry in (*content["code"], *content["words"]):
        assert entry["provider"]
        assert entry["source"]
        assert isinstance(entry["date"], date)
    for entry in content["code"]:
        assert meaning_of([entry["code"].upper()], status=400, message="") is Meaning(entry["meaning"])


def test_money_outweighs_the_rate_limits_name_that_stands_over_it():
    names = ["rate_limit_exceeded", "insufficient_quota"]

    assert meaning_of(names, status=429, message="") is Meaning.QUOTA_EXHAUSTED
    assert meaning_of(["rate_limit_error"], status=429, message="insufficient_quota") is Meaning.QUOTA_EXHAUSTED


def test_a_very_long_message_is_read_quickly_and_not_shown():
    blanks = "wait " + " " * 100_000
    for text in ("Error: " * 100_000, "Error" * 100_000, '{"message": ' * 10_000, blanks, "\\" * 99_999):
        for status in (400, 429):
            found = ending(status, error(text))

            assert isinstance(found, Throttled | Failure)
            assert len(found.message) < 200
