"""The life of one background response, as a function of time.

    queued -> in_progress -> completed | incomplete | failed
    queued | in_progress -> cancelled

What becomes of one that its window does not hold is documented nowhere; here it fails with a server error, unbilled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.standin.lanes.response_request import response_json

if TYPE_CHECKING:
    from ops.standin.errors import ApiError
    from ops.standin.lanes.answering import Answered
    from ops.standin.lanes.response_request import BackgroundRequest

_QUEUED_SHARE = 0.8
LANES = {"soonest": "background", "2h": "window_2h", "8h": "window_8h"}


@dataclass(slots=True, kw_only=True)
class Response:
    """One response of one account. Times are seconds on the server's clock."""

    response_id: str
    account: str
    request: BackgroundRequest
    request_id: str
    created_at: float
    ends_at: float
    is_in_time: bool = True
    cancelled_at: float | None = None
    answered: Answered | None = None
    failed: ApiError | None = None

    @property
    def lane(self) -> str:
        """Its name on the invoice."""
        return LANES[self.request.window]

    @property
    def is_open(self) -> bool:
        """Neither answered nor cancelled."""
        return self.answered is None and self.failed is None and self.cancelled_at is None

    def status(self, now: float) -> str:
        """As the API names it, except that `completed` may be `incomplete`."""
        if self.cancelled_at is not None:
            return "cancelled"
        if self.failed is not None:
            return "failed"
        if self.answered is not None:
            return "completed"
        starts_at = self.created_at + (self.ends_at - self.created_at) * _QUEUED_SHARE
        return "in_progress" if now >= starts_at else "queued"

    def as_json(self, now: float, *, epoch: float) -> dict[str, Any]:
        """As the API shows it."""
        shown = response_json(
            self.response_id,
            self.request,
            status=self.status(now),
            created_at=int(self.created_at + epoch),
            answer=self.answered.body if self.answered else None,
        )
        if self.failed is not None:
            shown["error"] = {"code": self.failed.code or "server_error", "message": self.failed.message}
        return shown
