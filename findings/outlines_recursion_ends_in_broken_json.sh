#!/usr/bin/env bash
# Guess: an engine that cannot express recursion refuses the schema, or stops at a depth with valid JSON.
# Truth: outlines_core unrolls a recursive schema some levels deep, and at the deepest one leaves the
#   recursive property out but keeps the comma before it: the only text it allows there is {"text":"x",}.
# Why: a rubric tree (criteria with sub-criteria) is graded well until one submission goes three levels
#   down; then the "guaranteed" answer is no JSON, each time, and a retry pays for the same again.
# Versions: outlines_core 0.2.14. Source: the expression that build_regex_from_schema returns. Its
#   max_recursion_depth argument moves the level; the comma stays.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  outlines_core==0.2.14

"$work/venv/bin/python" - <<'PY'
import json
import re
from importlib.metadata import version

from outlines_core.json_schema import build_regex_from_schema


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


node = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "part": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["text", "part"],
    "additionalProperties": False,
}
expression = re.compile(build_regex_from_schema(json.dumps({"$defs": {"node": node}, "$ref": "#/$defs/node"})))


def valid(depth):
    inner = '{"text":"x","part":' * depth
    return inner + "null" + "}" * depth


def broken(depth):
    return '{"text":"x","part":' * (depth - 1) + '{"text":"x",}' + "}" * (depth - 1)


def accepts(text):
    return expression.fullmatch(text) is not None


print(f"outlines_core {version('outlines_core')}")
depths = range(1, 7)
for depth in depths:
    json.loads(valid(depth))
    print(f"depth {depth}: valid JSON {accepts(valid(depth))!s:6} with a trailing comma {accepts(broken(depth))}")
last = max(depth for depth in depths if accepts(valid(depth)))
expect(last < 6, "six levels of recursion are allowed now.")
expect(accepts(broken(last + 1)), "the deepest level no longer forces a trailing comma.")
try:
    json.loads(broken(last + 1))
except json.JSONDecodeError as error:
    print(f"json.loads on {broken(last + 1)}: {error}")
PY
