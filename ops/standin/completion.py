"""The body of a 200: a chat completion as OpenAI writes it, and the odd ones that scripted faults ask for."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.standin import judging, texts
from ops.standin.draw import Draw
from ops.standin.faults import Fault
from ops.standin.tokens import CHARACTERS_PER_TOKEN, estimate_tokens

if TYPE_CHECKING:
    from ops.standin.chat_request import ChatRequest
    from ops.standin.config import Config
    from ops.standin.prompt_cache import CacheUse

_REASONING_TOKENS = {"none": 0, "minimal": 16, "low": 32, "medium": 64, "high": 192, "xhigh": 384, "max": 768}
"""What a reasoning model spends before it writes, by effort. Real numbers vary; these only have to be paid for."""
_REASONS_BY_DEFAULT = "medium"


# A valid answer by a peer that says impossible things about itself; the mark that it is a stand-in stays.
_ODD_METADATA: dict[str, Any] = {
    "model": "m\x00\x1b[31m" + "x" * 400,
    "system_fingerprint": "fp_standin\ud800\x07" + "f" * 400,
    "usage": {
        "prompt_tokens": 10**10,
        "completion_tokens": -5,
        "total_tokens": True,
        "prompt_tokens_details": {"cached_tokens": -1},
        "completion_tokens_details": {"reasoning_tokens": True},
    },
}


@dataclass(frozen=True, slots=True)
class _Answer:
    content: str | None
    finish_reason: str = "stop"
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """A computed answer: the body that is sent, and the usage that is billed, whatever the body says of it."""

    body: dict[str, Any]
    usage: dict[str, Any]


def completed(
    request: ChatRequest, *, config: Config, call_number: int, fault: Fault | None, cache: CacheUse
) -> Completed:
    """The completion for the n-th call of this prompt; a fault that is no odd answer changes nothing."""
    answer = _faulted(_answer(request, config=config, call_number=call_number), fault)
    usage = _usage(request, answer, cache)
    body = {
        "id": f"chatcmpl-{os.urandom(12).hex()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model.snapshot,
        "choices": [_choice(answer)],
        "usage": usage,
        "service_tier": request.tier,
        "system_fingerprint": "fp_standin",
    }
    if fault in (Fault.TRUNCATED, Fault.FENCED_CUT):
        usage["completion_tokens"] = request.answer_tokens or 1
    if fault is Fault.CONTEXT_FULL:
        usage["completion_tokens"] = 1
    if fault is Fault.NO_CHOICES:
        body["choices"] = []
    if fault is Fault.ODD_METADATA:
        body = body | _ODD_METADATA
    return Completed(body, usage)


def _answer(request: ChatRequest, *, config: Config, call_number: int) -> _Answer:
    read = judging.without_marks(request.conversation) if config.ignore_marks else request.conversation
    seed = f"{config.seed} {request.seed} {read}".encode("utf-8", "surrogatepass")
    draw = Draw(
        seed,
        scatter_seed=b"%d " % call_number + seed,
        scatter=config.scatter,
        source=request.conversation,
        fabricate=config.fabricate,
        doubt=config.doubt,
    )
    if request.plan is None:
        content = texts.sentence(draw)
    else:
        content = json.dumps(request.plan(draw), ensure_ascii=False, separators=(",", ":"))
    return _cut(content, request)


def _cut(content: str, request: ChatRequest) -> _Answer:
    # The model's own reasoning comes out of the same allowance, before the first visible character.
    allowed = (request.answer_tokens or request.model.answer_tokens) - _reasoning_tokens(request)
    if estimate_tokens(len(content)) <= allowed:
        return _Answer(content)
    return _Answer(content[: max(0, allowed) * CHARACTERS_PER_TOKEN], finish_reason="length")


def _faulted(answer: _Answer, fault: Fault | None) -> _Answer:
    content = answer.content or ""
    half = content[: len(content) // 2]
    odd = {
        Fault.NULL_CONTENT: _Answer(None),
        # Strict schemas allow no further property, so this object satisfies none of them.
        Fault.INVALID_OUTPUT: _Answer('{"standin_invalid":true}'),
        Fault.NOT_JSON: _Answer("Here is a stand-in's feedback, in prose instead of JSON."),
        Fault.REFUSAL: _Answer(None, refusal=texts.REFUSAL_TEXT),
        Fault.TRUNCATED: _Answer(half, finish_reason="length"),
        Fault.CONTEXT_FULL: _Answer(half, finish_reason="length"),
        Fault.LENGTH_WHOLE: _Answer(content, finish_reason="length"),
        Fault.FENCED: _Answer(f"```json\n{content}\n```"),
        Fault.FENCED_CUT: _Answer("```json\n", finish_reason="length"),
        Fault.CONTENT_FILTER: _Answer(half, finish_reason="content_filter"),
    }
    return answer if fault is None else odd.get(fault, answer)


def _choice(answer: _Answer) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.content,
        "refusal": answer.refusal,
        "annotations": [],
    }
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}


def _usage(request: ChatRequest, answer: _Answer, cache: CacheUse) -> dict[str, Any]:
    reasoning_tokens = _reasoning_tokens(request)
    if request.answer_tokens is not None:
        reasoning_tokens = min(reasoning_tokens, request.answer_tokens)
    written_tokens = estimate_tokens(len(answer.content or answer.refusal or ""))
    completion_tokens = reasoning_tokens + written_tokens
    return {
        "prompt_tokens": request.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": request.prompt_tokens + completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": cache.read_tokens,
            "cache_write_tokens": cache.written_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _reasoning_tokens(request: ChatRequest) -> int:
    return _REASONING_TOKENS[request.effort or _REASONS_BY_DEFAULT] if request.model.reasons else 0
