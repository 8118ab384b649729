"""Tokens without a tokenizer. The true counts are those of o200k_base (bpe-openai 0.1.4)."""

from __future__ import annotations

import pytest

from workers.contract.tokens import estimate_tokens, most_tokens

MARKS = "\n".join(f"{number},{number % 7},{number % 11},0,{number % 5}" for number in range(482100, 482140))
SAMPLES = {
    "python": (
        "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n    return total\n" * 4,
        100,
    ),
    "marks": (MARKS, 439),
    "chinese": ("学生详细解释了实验失败的原因但是未能提出另一种可以获得更准确结果的方法。" * 3, 63),
    "arabic": ("شرح الطالب بالتفصيل سبب فشل التجربة، لكنه لم يتمكن من اقتراح طريقة أخرى. " * 3, 64),
    "german": ("Häufig fehlt jedoch eine nachvollziehbare Begründung, obwohl das Ergebnis richtig ist. " * 4, 73),
    "emoji": ("😀👍🎉🤖🧪📚" * 5, 55),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_an_estimate_is_near_the_tokenizer_in_every_script(kind: str):
    text, tokens = SAMPLES[kind]
    assert 0.7 * tokens <= estimate_tokens(text) <= 1.4 * tokens


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_most_is_never_below_the_tokenizer(kind: str):
    text, tokens = SAMPLES[kind]
    assert tokens <= most_tokens(text)


def test_no_text_has_no_tokens_and_half_a_character_is_counted():
    assert estimate_tokens("") == 0
    assert estimate_tokens("a") == 1
    assert most_tokens("\ud800") == 3
