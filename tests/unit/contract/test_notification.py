"""Who can be told, and in which words."""

from __future__ import annotations

import pytest

from workers.contract.errors import InvalidInput
from workers.contract.notification import Happening, address_of, sentence, shown_target, target_of, targets_of


def test_several_targets_are_read_each_once():
    given = ["https://a.example/x, mailto:me@uni.example", "", "operator", "https://a.example/x"]
    assert targets_of(given) == ("https://a.example/x", "mailto:me@uni.example", "operator")


@pytest.mark.parametrize(
    "wrong",
    [
        "me@uni.example",
        "ftp://host/x",
        "https://",
        "https://host:0/x",
        "https://host:99999/x",
        "https://[::1/x",
        "https://host/a b",
        "https://host/\nx",
        "https://me:secret@host/x",
        "mailto:",
        "mailto:me",
        "mailto:me@a,you@b",
        "mailto:me@uni.example?bcc=you@uni.example",
        "mailto:me@uni.example%0ABcc:you@uni.example",
        "https://host/" + "x" * 1000,
    ],
)
def test_what_nobody_can_be_told_by_is_refused(wrong: str):
    with pytest.raises(InvalidInput) as refused:
        target_of(wrong)
    assert "secret" not in str(refused.value)


def test_a_url_is_shown_without_what_may_be_its_secret():
    assert shown_target("https://hooks.example:8443/services/T0/secret?key=x") == "https://hooks.example/..."
    assert shown_target("mailto:me@uni.example") == "mailto:me@uni.example"
    assert address_of("mailto:me%2Bcs@uni.example") == "me+cs@uni.example"


def test_each_happening_has_its_sentence():
    content = {
        "batch": "b", "provider": "standin", "succeeded": 2, "failed": 1, "reason": "missed", "entry": "term",
        "night": "2026-12-01", "day": "2026-12-02", "account": "p", "batches": ["b", "c"], "batch_count": 5,
    }  # fmt: skip
    said = {each: sentence(each, content) for each in Happening}
    assert said[Happening.BATCH_ENDED].endswith("(stand-in provider: these grades are not real).")
    assert said[Happening.ACCOUNT_PARKED] == "p is parked (missed): its jobs wait (b, c and 3 more)."
    assert said[Happening.DAY_CAP_REACHED].startswith("The spend cap of 2026-12-02 (UTC) at p is reached")
    assert said[Happening.NIGHT_SKIPPED].startswith("The nightly run term of 2026-12-01: it could not run in time.")
    assert len(set(said.values())) == len(Happening)
