"""One file as text, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A file under its name: its text, or one short reason why it gives none. Exactly one of the two is set."""

    name: str
    text: str | None = field(default=None, repr=False)
    problem: str | None = None
    """Ours: quotes nothing of the file."""
    is_picture: bool = False
    pictures: tuple[bytes, ...] = field(default=(), repr=False)
    """Of a file without a text: what a model that sees could be shown, in order."""

    @property
    def is_read(self) -> bool:
        """Whether there is a text, which may be blank."""
        return self.text is not None


class Unreadable(Exception):  # noqa: N818 - it is what a reader says, not a fault
    """A file gives no text; `str()` is the reason, in our words alone."""
