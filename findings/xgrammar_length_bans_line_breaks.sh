#!/usr/bin/env bash
# Guess: maxLength on a string limits its length.
# Truth: in xgrammar any minLength or maxLength also bans every escape: no line break, no quotation
#   mark, no backslash, no \u00e9, while a raw tab, which JSON forbids, is allowed.
# Why: feedback limited to 400 characters comes back as one flattened paragraph that cannot quote the
#   student's words or code, and no error says so. A limit on the wire costs content, not only length.
# Versions: xgrammar 0.2.8. Source: the grammar that Grammar.from_json_schema prints: the body of a
#   bounded string is [^"\\\r\n]{0,400} with no branch for escapes. torch and transformers, gigabytes
#   that this path only imports, are replaced by empty stand-ins.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  --no-deps xgrammar==0.2.8 apache-tvm-ffi==0.1.15.post2 numpy==2.4.6 typing_extensions==4.16.0 \
  pydantic==2.14.4 pydantic_core==2.50.5 annotated-types==0.8.0 typing-inspection==0.4.5

"$work/venv/bin/python" - <<'PY'
import json
import sys
from importlib.metadata import version
from unittest.mock import MagicMock

import tvm_ffi  # noqa: F401  before the stand-ins, which it must not see

sys.modules["torch"] = MagicMock(__spec__=None)
sys.modules["transformers"] = MagicMock(__spec__=None)
import xgrammar


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo([]))


def accepts(schema, text):
    compiled = compiler.compile_json_schema(json.dumps(schema))
    matcher = xgrammar.GrammarMatcher(compiled, terminate_without_stop_token=True)
    return matcher.accept_string(text) and matcher.is_terminated()


free, limited = {"type": "string"}, {"type": "string", "maxLength": 400}
at_least_one = {"type": "string", "minLength": 1}
print(f"xgrammar {version('xgrammar')}")
texts = ["Well done.", "First.\nSecond.", 'You wrote "x = 1".', "C:\\temp"]
for text in texts:
    spelled = json.dumps(text)
    row = [accepts(schema, spelled) for schema in (free, limited, at_least_one)]
    print(f"{spelled:24} free {row[0]!s:6} maxLength 400 {row[1]!s:6} minLength 1 {row[2]}")
    expect(row[0], f"a free string no longer holds {spelled}.")
    expect(row[1] == row[2] == (text == texts[0]), f"a string with a length treats {spelled} differently now.")
raw_tab = '"a\tb"'
print(f"raw tab, no valid JSON: free {accepts(free, raw_tab)}, maxLength 400 {accepts(limited, raw_tab)}")
expect(accepts(limited, raw_tab) and not accepts(free, raw_tab), "a bounded string no longer allows a raw tab.")
PY
