#!/usr/bin/env bash
# Guess: the helper behind .parse() that makes a Pydantic model "strict" refuses what strict mode refuses.
# Truth: it returns, marked strict and without a word, free-form dicts, tuples, defaults and Any, none
#   of which is in the documented subset; and it does set additionalProperties to false on the object
#   around them, so the result looks strict.
# Why: a rubric with points: dict[str, int] passes every offline test, and the first real request of
#   the night is refused. Check schemas against the documented subset yourself, before anything is sent.
# Versions: openai 3.54.0, pydantic 2.14.4. Source: openai/lib/_pydantic.py, _ensure_strict_json_schema
#   (no branch raises for an unsupported keyword); the guide "Structured model outputs", supported schemas.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  openai==3.54.0 pydantic==2.14.4

"$work/venv/bin/python" - <<'PY'
import json
from typing import Any

import openai
import pydantic
from openai.lib._pydantic import to_strict_json_schema


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


class Grade(pydantic.BaseModel):
    points: dict[str, int]
    span: tuple[int, int]
    note: str = "none"
    evidence: Any


print(f"openai {openai.__version__}, pydantic {pydantic.VERSION}")
schema = to_strict_json_schema(Grade)
for name, part in schema["properties"].items():
    print(f"{name}: {json.dumps(part)}")
parts = schema["properties"]
expect(schema["additionalProperties"] is False, "the object itself is no longer closed.")
expect(parts["points"]["additionalProperties"] == {"type": "integer"}, "a free-form dict is no longer let through.")
expect("prefixItems" in parts["span"], "a tuple is no longer let through.")
expect(parts["note"]["default"] == "none", "a default is no longer let through.")
expect(set(parts["evidence"]) == {"title"}, "a field of any type is no longer let through.")

sent = openai.pydantic_function_tool(Grade)
print(f"marked strict: {sent['function']['strict']}")
expect(sent["function"]["strict"] is True, "the tool built from the model is no longer marked strict.")
PY
