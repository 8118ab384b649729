#!/usr/bin/env bash
# Guess: where multipleOf is 0.25, the score 0.5 may be written 0.5; and a number stays a number
#   whatever else its schema says.
# Truth: llguidance accepts 0.50, 7.50 and the bare integer, but not 0.5 or 7.5; and once a number has a
#   bound or a multipleOf, an exponent that a plain number may have is refused.
# Why: examples in the prompt that say "score": 7.5 push a model towards a token the engine forbids at
#   that place, so it pads with a zero or closes on another score. Quarter points belong in an enum or
#   in integers, and comparing answers as text finds differences that are none.
# Versions: llguidance 1.9.1. Source: measured with LLMatcher over a byte tokenizer.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  llguidance==1.9.1

"$work/venv/bin/python" - <<'PY'
import json
from importlib.metadata import version

from llguidance import LLMatcher, LLTokenizer


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


tokenizer = LLTokenizer("byte")


def accepts(schema, text):
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_json_schema(json.dumps(schema)))
    tokens = tokenizer.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


print(f"llguidance {version('llguidance')}")
quarters = {"type": "number", "multipleOf": 0.25}
halves = {"type": "number", "multipleOf": 0.5}
for text in ("7", "7.5", "7.50", "7.25"):
    print(f"{text:5} multipleOf 0.25: {accepts(quarters, text)!s:6} multipleOf 0.5: {accepts(halves, text)}")
expect(accepts(quarters, "7.50") and accepts(quarters, "7"), "quarter points refuse 7.50 or 7 now.")
expect(not accepts(quarters, "7.5") and not accepts(quarters, "0.5"), "quarter points accept one decimal now.")
expect(accepts(halves, "7.5"), "half points refuse 7.5 now.")

plain, bounded = {"type": "number"}, {"type": "number", "minimum": 0, "maximum": 100}
print(f"1e1   plain number: {accepts(plain, '1e1')}, number from 0 to 100: {accepts(bounded, '1e1')}")
expect(accepts(plain, "1e1") and not accepts(bounded, "1e1"), "a bound no longer takes the exponent away.")
PY
