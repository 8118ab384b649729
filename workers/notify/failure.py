"""Why a notification was not sent."""

from __future__ import annotations


class NotSent(Exception):  # noqa: N818 - an expected ending, which the outbox keeps
    """The text is one line for the operator. With `is_final`, the receiver wants no more of it."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final
