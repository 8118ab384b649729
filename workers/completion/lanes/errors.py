"""What a call about a lane can raise, by who must act.

    LaneError
    ├── LaneUnavailable   the server does not serve this lane: say so once, and send live
    ├── NotFound          the server does not know this id: it was deleted, or belongs to another account
    ├── AlreadyEnded      it cannot be cancelled any more: read how it ended
    └── LaneCallFailed    any other ending of the call, as live calls have them

No message holds a prompt, an answer or a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.completion.classify import Blocked, Throttled, Transient
    from workers.contract.outcome import Failure


class LaneError(Exception):
    """Root of all below. `status_code` is the HTTP status; None where no response came."""

    def __init__(self, message: str, *, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code


class LaneUnavailable(LaneError):  # noqa: N818 - a state of the server, and its name in messages
    """The server, or this model at it, does not serve the lane."""


class NotFound(LaneError):  # noqa: N818 - as HTTP calls it
    """No file, batch or response has this id."""


class AlreadyEnded(LaneError):  # noqa: N818 - nothing went wrong
    """What was to be cancelled has its ending."""


class LaneCallFailed(LaneError):  # noqa: N818 - as the values it carries
    """The call itself ended like a live one does; nothing is known of what it was about.

    After `Transient` with `timed_out`, or any connection that broke, the server may have done what was asked:
    look for the marker before asking again.
    """

    def __init__(self, ending: Failure | Throttled | Transient | Blocked, *, status_code: int | None = None) -> None:
        super().__init__(ending.message, status_code=status_code)
        self.ending = ending
