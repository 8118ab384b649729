#!/usr/bin/env bash
# Guess: one property of any type (schema {}) is free, and the object around it stays bound.
# Truth: outlines_core writes the free value as alternatives without a group, so they split the whole
#   regular expression: the bare text null is a complete answer, and the object, score and all, is not.
# Why: a record with one field typed Any (a model's "evidence", say) loses its score field and its
#   bounds on every server that constrains with outlines. Nothing warns; the parse fails, paid for.
# Versions: outlines_core 0.2.14. Source: the expression that build_regex_from_schema returns, read
#   with Python's re module; what it does with {} is in no document that I found.
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


def matcher(evidence):
    schema = {
        "type": "object",
        "properties": {"evidence": evidence, "score": {"type": "integer"}},
        "required": ["evidence", "score"],
        "additionalProperties": False,
    }
    expression = re.compile(build_regex_from_schema(json.dumps(schema)))
    return lambda text: expression.fullmatch(text) is not None


typed, free = matcher({"type": "null"}), matcher({})
answers = ['{"evidence":null,"score":7}', "null", '{"evidence":true', '"no object at all"']
print(f"outlines_core {version('outlines_core')}")
for answer in answers:
    print(f"{answer:32} evidence null: {typed(answer)!s:6} evidence of any type: {free(answer)}")
expect([typed(answer) for answer in answers] == [True, False, False, False], "the typed object is bound otherwise.")
expect(not free(answers[0]), "a whole object is now accepted beside a field of any type.")
expect(free("null") and free('{"evidence":true'), "a field of any type no longer splits the whole expression.")
PY
