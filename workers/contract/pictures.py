"""Pictures in a prompt: scanned or photographed work, as lines that only the batch's own producer can write.

Part of the contract: standard library only. A picture is one line of the student's part, which holds the fence's mark,
its kind and size and its bytes in base64; so it is stored, hashed, compared and purged with the prompt. It is put in
after the work was fenced: work that holds the mark is refused, so no student can write such a line. Workers send each
as a content part of its own.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.contract.model_profile import ModelProfile

PICTURE_LINE = "<<picture "
"""How the line of a picture begins; the mark follows."""
_LINE = re.compile(
    r"^<<picture (?P<mark>[0-9a-f]{32}) (?P<kind>image/(?:jpeg|png)) (?P<width>\d{1,5})x(?P<height>\d{1,5}) "
    r"(?P<data>[A-Za-z0-9+/]+={0,2})>>$",
    re.MULTILINE,
)
_TILE_PIXELS, _PATCH_PIXELS = 512, 32
_LONGEST_SIDE, _SHORT_SIDE = 2048, 768
MOST_PATCHES = 2_500
"""Of models whose limit is not known."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture; width and height in pixels, `data` in base64."""

    kind: str
    width: int
    height: int
    data: str = field(repr=False)

    @property
    def url(self) -> str:
        """As a content part takes it."""
        return f"data:{self.kind};base64,{self.data}"

    def line(self, mark: str) -> str:
        """The line of a prompt; `mark` is the fence's."""
        return f"{PICTURE_LINE}{mark} {self.kind} {self.width}x{self.height} {self.data}>>"


def prompt_parts(prompt: str, instructions: str | None) -> Iterator[str | Picture]:
    """Texts and pictures in order. Lines whose mark the instructions do not name are text."""
    position = 0
    for found in _lines(prompt, instructions):
        if found.start() > position:
            yield prompt[position : found.start()]
        yield Picture(found["kind"], int(found["width"]), int(found["height"]), found["data"])
        position = found.end()
    if position < len(prompt):
        yield prompt[position:]


def has_pictures(prompt: str, instructions: str | None) -> bool:
    """Whether a model has to see to read this prompt."""
    return _may_have_pictures(prompt, instructions) and next(_lines(prompt, instructions), None) is not None


def visible_text(prompt: str, instructions: str | None) -> str:
    """The prompt as a person reads it: `[picture 1200x1600]` in place of each."""
    if not _may_have_pictures(prompt, instructions):
        return prompt
    parts = prompt_parts(prompt, instructions)
    return "".join(part if isinstance(part, str) else f"[picture {part.width}x{part.height}]" for part in parts)


def blanked(prompt: str, instructions: str | None) -> str:
    """The prompt with blanks in place of each picture's bytes, every other character at its place."""
    pieces, position = [], 0
    for found in _lines(prompt, instructions):
        pieces += [prompt[position : found.start("data")], " " * len(found["data"])]
        position = found.end("data")
    return "".join([*pieces, prompt[position:]]) if pieces else prompt


def marked_anew(prompt: str, *, old: str, new: str) -> str:
    """The prompt with its pictures' lines under another fence's mark."""
    return prompt.replace(f"\n{PICTURE_LINE}{old} ", f"\n{PICTURE_LINE}{new} ") if old != new else prompt


def pictures_tokens(prompt: str, instructions: str | None, profile: ModelProfile) -> int:
    """What the prompt's pictures count as input for this model."""
    if not _may_have_pictures(prompt, instructions):
        return 0
    parts = prompt_parts(prompt, instructions)
    return sum(picture_tokens(part.width, part.height, profile) for part in parts if isinstance(part, Picture))


def picture_tokens(width: int, height: int, profile: ModelProfile) -> int:
    """What one picture counts as input, at high detail.

    *Source*: OpenAI, "Images and vision", calculating costs: by tiles of 512 pixels after scaling (base and tile
    tokens), or by patches of 32 pixels up to a limit, times a factor of the model.
    """
    if profile.picture_tile_tokens is None:
        patches = math.ceil(width / _PATCH_PIXELS) * math.ceil(height / _PATCH_PIXELS)
        return math.ceil(min(patches, profile.most_picture_patches or MOST_PATCHES) * profile.picture_patch_factor)
    scale = min(1.0, _LONGEST_SIDE / max(width, height))
    scale = min(scale, _SHORT_SIDE / min(width, height))
    tiles = math.ceil(width * scale / _TILE_PIXELS) * math.ceil(height * scale / _TILE_PIXELS)
    return (profile.picture_base_tokens or 0) + tiles * profile.picture_tile_tokens


def _may_have_pictures(prompt: str, instructions: str | None) -> bool:
    return instructions is not None and PICTURE_LINE in prompt


def _lines(prompt: str, instructions: str | None) -> Iterator[re.Match[str]]:
    if instructions is None or not _may_have_pictures(prompt, instructions):
        return iter(())
    return (found for found in _LINE.finditer(prompt) if f"marked {found['mark']}" in instructions)
