"""Pictures in a prompt: lines that only the producer can write, and what each counts."""

from __future__ import annotations

import pytest

from workers.contract.model_profile import profile_of
from workers.contract.pictures import (
    Picture,
    blanked,
    has_pictures,
    marked_anew,
    picture_tokens,
    pictures_tokens,
    prompt_parts,
    visible_text,
)
from workers.contract.schemes.fence import Fence
from workers.contract.schemes.layout import instructions_text

FENCE = Fence("0123456789abcdef" * 2)
INSTRUCTIONS = instructions_text(words="Grade.", fence=FENCE)
PICTURE = Picture("image/jpeg", 1200, 1600, "QUJD")


def prompt_with(*lines: str) -> str:
    return FENCE.around("submission", "before\nSIGN\nafter").replace("SIGN", "\n".join(lines))


def test_texts_and_pictures_come_in_order_and_a_person_reads_their_size():
    prompt = prompt_with(PICTURE.line(FENCE.mark), PICTURE.line(FENCE.mark))
    parts = list(prompt_parts(prompt, INSTRUCTIONS))
    assert [part for part in parts if isinstance(part, Picture)] == [PICTURE, PICTURE]
    assert "".join(part for part in parts if isinstance(part, str)).split() == prompt_with().split()
    assert visible_text(prompt, INSTRUCTIONS) == prompt_with("[picture 1200x1600]", "[picture 1200x1600]")
    assert PICTURE.url == "data:image/jpeg;base64,QUJD"


def test_who_looks_for_words_finds_none_in_a_picture():
    prompt = prompt_with(PICTURE.line(FENCE.mark))
    blank = blanked(prompt, INSTRUCTIONS)
    assert "QUJD" not in blank
    assert len(blank) == len(prompt)
    assert blank.index("after") == prompt.index("after")


@pytest.mark.parametrize("mark", ["0" * 32, "x", FENCE.mark[:-1]])
def test_what_a_student_writes_is_text(mark: str):
    prompt = prompt_with(PICTURE.line(mark))
    assert list(prompt_parts(prompt, INSTRUCTIONS)) == [prompt]
    assert not has_pictures(prompt, INSTRUCTIONS)
    assert not has_pictures(prompt_with(PICTURE.line(FENCE.mark)), None), "a whole prompt is sent byte for byte"


def test_a_new_fence_takes_the_pictures_along():
    new = Fence.draw()
    moved = marked_anew(prompt_with(PICTURE.line(FENCE.mark)), old=FENCE.mark, new=new.mark)
    assert has_pictures(moved, instructions_text(words="Grade.", fence=new))
    assert not has_pictures(moved, INSTRUCTIONS)


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("gpt-4o", (1024, 1024), 765),
        ("gpt-4o", (2048, 4096), 1105),
        ("gpt-4o", (200, 200), 255),
        ("gpt-5", (1024, 1024), 70 + 4 * 140),
        ("gpt-4.1-mini", (1024, 1024), 1659),
        ("gpt-4.1-mini", (4000, 4000), 2489),
        ("gpt-6.1-terra", (640, 480), 300),
        ("gpt-6.1-terra", (4000, 4000), 2500),
    ],
)
def test_a_picture_counts_by_tiles_or_by_patches(model: str, size: tuple[int, int], tokens: int):
    assert picture_tokens(*size, profile_of(model)) == tokens


def test_the_pictures_of_a_prompt_are_counted_together():
    prompt = prompt_with(PICTURE.line(FENCE.mark), PICTURE.line(FENCE.mark))
    assert pictures_tokens(prompt, INSTRUCTIONS, profile_of("gpt-4o")) == 2 * 765
