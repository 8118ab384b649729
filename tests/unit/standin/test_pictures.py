"""Pictures at the stand-in: what they count, and OpenAI's refusals."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from tests.unit.standin.test_chat_request import read, refusal


def picture(size: tuple[int, int] = (1024, 1024), kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def messages(url: str, *, role: str = "user", **more: object) -> list[dict[str, Any]]:
    part = {"type": "image_url", "image_url": {"url": url, **more}}
    return [{"role": role, "content": [{"type": "text", "text": "Grade this."}, part]}]


def counted(url: str, **more: object) -> int:
    bare = read().prompt_tokens
    return read(messages=messages(url, **more)).prompt_tokens - bare


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_is_billed_by_its_tiles_whatever_its_kind(kind: str):
    assert 765 <= counted(picture(kind=kind), detail="high") <= 765 + 12, "the rest is the text in its place"
    assert counted(picture((2048, 4096), kind), detail="high") >= 1105
    assert counted(picture(kind=kind), detail="low") < 100


def test_an_answer_depends_on_the_picture():
    one, other = (read(messages=messages(picture(size))) for size in ((64, 64), (65, 64)))
    assert one.conversation != other.conversation


@pytest.mark.parametrize(
    ("changes", "words", "param", "code"),
    [
        ({"model": "o3-mini", "any_model": True, "messages": messages(picture())},
         "image_url is only supported by certain models", "messages[0].content[1].type", None),
        ({"messages": messages(picture(), role="system")}, "only allowed for messages with role 'user'",
         "messages[0]", "invalid_value"),
        ({"messages": messages("data:image/png;base64,QUJD")}, "unsupported image", None, "image_parse_error"),
        ({"messages": messages("data:image/jpeg;base64,/9j/")}, "unsupported image", None, "image_parse_error"),
        ({"messages": messages("https://example.org/x.png")}, "data URLs alone", None, "invalid_image_url"),
        ({"messages": messages(picture(), detail="huge")}, "Supported values are: 'low', 'high'",
         "messages[0].content[1].image_url.detail", None),
    ],
    ids=["blind model", "system", "no picture", "cut", "address", "detail"],
)  # fmt: skip
def test_what_the_real_one_refuses_is_refused(changes: dict[str, Any], words: str, param: str | None, code: str | None):
    error = refusal(**changes)
    assert words in error.message
    assert error.param == param
    assert code is None or error.code == code
