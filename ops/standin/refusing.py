"""Which refusal a scripted fault asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.standin import errors
from ops.standin.errors import ApiError
from ops.standin.faults import BILLING_FAULTS, FOREIGN_REFUSALS, Fault
from ops.standin.foreign_refusals import foreign_refusal
from ops.standin.limits import wait_headers

if TYPE_CHECKING:
    from ops.standin.config import Config
    from ops.standin.models import Model

_RATE_LIMIT_FAULT_WAIT_SECONDS = 1.0


def refusal(fault: Fault, model: Model, *, config: Config, cost_tokens: int) -> ApiError:
    """The refusal of a call that costs so many tokens of this model."""
    if fault in FOREIGN_REFUSALS:
        return foreign_refusal(fault)
    if fault in (Fault.RATE_LIMIT, Fault.SLOW_DOWN):
        return _temporary_refusal(fault, model, config)
    return _lasting_refusal(fault, model, config, cost_tokens)


def _lasting_refusal(fault: Fault, model: Model, config: Config, cost_tokens: int) -> ApiError:
    if fault in BILLING_FAULTS:
        return errors.out_of_credit(fault)
    if fault is Fault.BAD_KEY:
        return errors.wrong_key("scripted")
    if fault is Fault.TOO_LARGE:
        limit = config.tpm or max(1, cost_tokens - 1)
        return errors.request_too_large(model.limit_name, limit_tokens=limit, requested_tokens=cost_tokens)
    if fault is Fault.CONTEXT_OVERFLOW:
        overflow = model.context_tokens + 1
        return errors.context_too_long(model.context_tokens, prompt_tokens=overflow, answer_tokens=0)
    return errors.bad_request("The request was rejected. (a fault scripted in the stand-in)", code="invalid_value")


def _temporary_refusal(fault: Fault, model: Model, config: Config) -> ApiError:
    headers = wait_headers(_RATE_LIMIT_FAULT_WAIT_SECONDS, config=config)
    if fault is Fault.SLOW_DOWN:
        return ApiError(429, "Slow down.", kind="rate_limit_error", code="slow_down", headers=headers)
    message = f"Rate limit reached for {model.limit_name} in organization org-standin. Please try again in 1s."
    return ApiError(429, message, kind="requests", code="rate_limit_exceeded", headers=headers)
