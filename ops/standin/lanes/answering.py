"""One request that nobody waits for, answered and billed: the same answers and refusals as a live call has.

What only a connection can act out (hangs, resets, floods) is a server error here, as it would be in a file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ops.standin.completion import completed
from ops.standin.errors import ApiError
from ops.standin.faults import FLOODS, REFUSALS, Fault, marked_fault
from ops.standin.refusing import refusal

if TYPE_CHECKING:
    from ops.standin.chat_request import ChatRequest
    from ops.standin.state import State

_UNANSWERED = {Fault.SERVER_ERROR, Fault.UNAVAILABLE, Fault.HANG, Fault.HTML, Fault.ERROR_200, Fault.RESET_BEFORE}


@dataclass(frozen=True, slots=True)
class Answered:
    """A billed answer: the body of a chat completion."""

    request_id: str
    body: dict[str, Any] = field(repr=False)


def new_request_id() -> str:
    """As OpenAI's look."""
    return f"req_{os.urandom(16).hex()}"


def answer(
    state: State, account: str, asked: ChatRequest, *, lane: str, request_id: str, at: float, is_new: bool = True
) -> Answered:
    """Answer now and bill it; ApiError, unbilled, for what the prompt's marks ask for.

    `is_new` False: `refuse_marked` has counted this call already.
    """
    if is_new:
        refuse_marked(state, asked)
    record = state.tally.prompt_called(asked.prompt_key, is_new=False)
    fault = _fault(state, asked, record.past_limits)
    if fault is not None:
        state.tally.call_faulted(fault)
    if fault in _UNANSWERED or fault in FLOODS:
        message = "The server had an error while processing your request. Sorry about that!"
        raise ApiError(500, message, kind="server_error")
    model = asked.model.limit_name
    read_tokens = state.cache.read(account, model, asked.cache, now=at)
    cache = state.cache.write(account, model, asked.cache, read_tokens=read_tokens, now=at)
    made = completed(asked, config=state.config, call_number=record.past_limits, fault=fault, cache=cache)
    state.invoice.add(
        account, request_id=request_id, model=model, tier=asked.tier, usage=made.usage, cache=cache, lane=lane
    )
    record.admitted += 1
    record.answered += 1
    state.tally.lane_answered(lane)
    return Answered(request_id, made.body)


def refuse_marked(state: State, asked: ChatRequest) -> None:
    """Count a call of this prompt; ApiError where its marks ask for a refusal."""
    record = state.tally.prompt_called(asked.prompt_key)
    record.past_limits += 1
    fault = _fault(state, asked, record.past_limits)
    if fault in REFUSALS and fault is not None:
        state.tally.call_faulted(fault)
        cost_tokens = asked.cost_tokens(state.config.cost_rule)
        raise refusal(fault, asked.model, config=state.config, cost_tokens=cost_tokens)


def _fault(state: State, asked: ChatRequest, number: int) -> Fault | None:
    return marked_fault(asked.prompt, call_number=number) if state.config.marks else None
