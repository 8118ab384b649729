"""A stand-in that ignores marks answers what was asked, whichever fence it came in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ops.standin.chat_request import read_chat_request
from ops.standin.completion import completed
from ops.standin.config import Config
from ops.standin.prompt_cache import CacheUse
from workers.contract.schemes.fence import Fence
from workers.contract.schemes.layout import students_part

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "number"}, "comment": {"type": "string"}},
    "required": ["score", "comment"],
    "additionalProperties": False,
}


def answer_to(work: str, *, ignore_marks: bool) -> Mapping[str, Any]:
    fence = Fence.draw()
    messages = [
        {"role": "developer", "content": f"Grade it. {fence.rule_of_parts}"},
        {"role": "user", "content": students_part([("code", work)], fence)},
    ]
    shape = {"type": "json_schema", "json_schema": {"name": "Grade", "strict": True, "schema": SCHEMA}}
    body = json.dumps({"model": "gpt-4o", "messages": messages, "response_format": shape})
    asked = read_chat_request(body.encode(), any_model=False)
    answer = completed(asked, config=Config(ignore_marks=ignore_marks), call_number=1, fault=None, cache=CacheUse())
    found: Mapping[str, Any] = json.loads(answer.body["choices"][0]["message"]["content"])
    return found


def test_the_same_work_in_another_fence_is_answered_alike_only_where_marks_are_ignored():
    assert answer_to("print(1)", ignore_marks=True) == answer_to("print(1)", ignore_marks=True)
    assert answer_to("print(1)", ignore_marks=True) != answer_to("print(2)", ignore_marks=True)
    assert answer_to("print(1)", ignore_marks=False) != answer_to("print(1)", ignore_marks=False)
