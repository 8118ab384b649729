#!/usr/bin/env bash
# Guess: four characters a token is a fair estimate, and when it errs, then on languages like German.
# Truth: German is fine (4.5). A table of marks ("0.25 0.50 ...") takes a token for 1.25 characters,
#   random hexadecimal 1.5; and mathematical letters, Braille or Amharic cost more than one token a
#   character, so even one token a character is no upper bound (bytes are one).
# Why: token budgets, rate-limit debits and cost caps computed from len(text) / 4 are three times too low
#   for a mark sheet and six times for a formula; the run then meets the limit it was meant to avoid.
# Versions: bpe-openai 0.1.4 (carries the o200k_base vocabulary). Source: measured; the vendor's help
#   page on counting tokens names four characters as the rule for English text.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  bpe-openai==0.1.4

"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import bpe_openai


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


texts = {
    "English": "The answer names both causes but gives no evidence for the second, so half of the points are given.",
    "German": "Die Antwort nennt beide Ursachen, belegt aber die zweite nicht; deshalb gibt es die halbe Punktzahl.",
    "mark table": "0.25 0.50 0.75 1.00 " * 20,
    "hexadecimal": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "formula": "𝑥²+𝑦²=𝑟² ∧ ∀𝑛∈ℕ: 𝑛≥0 ⇒ ∃𝑚",
    "Amharic": "ተማሪው ምላሹን በትክክል ያብራራል",
    "Braille": "⠓⠑⠇⠇⠕⠀⠺⠕⠗⠇⠙",
}
encoding = bpe_openai.get_encoding("o200k_base")
per_token = {}
print(f"bpe-openai {version('bpe-openai')}, o200k_base")
for name, text in texts.items():
    tokens = len(encoding.encode(text))
    per_token[name] = len(text) / tokens
    print(f"{name:12} {len(text):4} characters {tokens:4} tokens: {per_token[name]:.2f} characters a token")
    expect(tokens <= len(text.encode()), f"{name}: more tokens than bytes.")
expect(min(per_token["English"], per_token["German"]) > 4, "German or English falls below four characters a token.")
expect(per_token["mark table"] < 1.5, "a table of marks takes fewer tokens now.")
expect(per_token["hexadecimal"] < 2, "hexadecimal takes fewer tokens now.")
for name in ("formula", "Amharic", "Braille"):
    expect(per_token[name] < 1, f"{name}: no more than one token a character now.")
PY
