"""Pictures of work, made fit to be sent: turned upright, within bounds, without what a camera writes into its files."""

from __future__ import annotations

import base64
import io
import warnings
from typing import TYPE_CHECKING

from producer.inputs.documents.piece import Unreadable
from workers.contract.pictures import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_PICTURES = 24
"""Of one student; more is a book, and each costs about a thousand tokens."""
_MOST_PIXELS = 100_000_000
_SIZES = ((4, 2048, 80), (10, 1400, 70), (MOST_PICTURES, 1000, 60))
"""Up to so many pictures of one student: longest side and JPEG quality, so that all of them fit into one prompt."""
MOST_BYTES = 3_500_000
"""Of all pictures of one student together, in base64."""


def sendable(contents: Sequence[bytes]) -> list[Picture]:
    """Each picture as it will be sent. `Unreadable` when one cannot be opened, or they are too many or too large.

    The same bytes give the same pictures.
    """
    fitting = [(side, quality) for most, side, quality in _SIZES if len(contents) <= most]
    if not fitting:
        raise Unreadable(f"there are more than {MOST_PICTURES} pictures")
    for side, quality in fitting:
        found = [_shrunk(content, side, quality) for content in contents]
        if sum(len(picture.data) for picture in found) <= MOST_BYTES:
            return found
    raise Unreadable("the pictures are too large together")


def _shrunk(content: bytes, side: int, quality: int) -> Picture:
    from PIL import Image, ImageOps  # noqa: PLC0415 - a folder of programs needs none of it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large and of odd files; both are judged here
            opened = Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000"))
            _refuse_too_many_pixels(opened.width * opened.height)
            upright = ImageOps.exif_transpose(opened)
            upright.thumbnail((side, side))
            on_white = Image.new("RGB", upright.size, "white")
            on_white.paste(upright.convert("RGBA"), mask=upright.convert("RGBA"))
    except Unreadable:
        raise
    except Exception:  # noqa: BLE001 - what damaged files raise is open-ended
        raise Unreadable("it is a picture that cannot be opened") from None
    buffer = io.BytesIO()
    on_white.save(buffer, "JPEG", quality=quality)  # a new file: no place, no owner of the camera
    return Picture("image/jpeg", on_white.width, on_white.height, base64.b64encode(buffer.getvalue()).decode())


def _refuse_too_many_pixels(pixels: int) -> None:
    """Read from the picture's head, before any of it is unpacked."""
    if pixels > _MOST_PIXELS:
        raise Unreadable("the picture has too many pixels")
