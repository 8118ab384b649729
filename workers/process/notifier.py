"""The notifier: sends what the store's outbox holds. A thread in every worker; a lease lets one send at a time.

Each round: what is for the operator -> those whom the settings name (by every worker); batches that have ended -> the
outbox; then what is due, one by one, each with its own transaction afterwards. A worker that dies between sending and
noting it leaves the message to be sent once more, under the same id.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workers.contract.errors import ServiceUnavailable
from workers.contract.notification import shown_target, targets_of
from workers.log import get_logger, log_frames
from workers.notify.sending import Message, NotSent, Sender
from workers.process.own_thread import OwnThread
from workers.store.leases import drop_lease, take_lease
from workers.store.outbox import (
    address_operator,
    due_notifications,
    forget_old,
    note_ended,
    note_failed,
    note_sent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.settings import Settings
    from workers.store import Store
    from workers.store.outbox import Notification

logger = get_logger(__name__)

LEASE = "notifier"
LEASE_SECONDS = 90.0
"""Renewed before each message, which takes half a minute at most."""
PERIOD_SECONDS = 2.0
STOP_SECONDS = 5.0
"""The end of a batch is sent by the worker that stops with it; a receiver that hangs is tried again by another."""
MOST_PER_ROUND = 50
FORGET_SECONDS = 3600.0


class Notifier(OwnThread):
    """Sends on a thread of its own until stopped; then once more, for what ended last."""

    def __init__(
        self,
        store: Store,
        *,
        holder: str,
        send: Callable[[Message, str], None],
        operator: Sequence[str] = (),
        period_seconds: float = PERIOD_SECONDS,
    ) -> None:
        """`send` raises `NotSent`; `operator` are the targets that the settings name."""
        super().__init__("notifier", stop_seconds=STOP_SECONDS)
        self._store = store
        self._holder = holder
        self._send = send
        self._operator = tuple(operator)
        self._period_seconds = period_seconds
        self._forget_at = time.monotonic() + FORGET_SECONDS

    @classmethod
    def of(cls, settings: Settings, store: Store, *, holder: str) -> Notifier:
        """As these settings say."""
        return cls(store, holder=holder, send=Sender.of(settings).send, operator=targets_of([settings.notify]))

    def _run(self) -> None:
        while True:
            is_last = self._stopping.wait(self._period_seconds)
            try:
                self.round()
                if is_last:
                    self._store.run(lambda connection: drop_lease(connection, LEASE, holder=self._holder))
            except ServiceUnavailable as error:
                logger.warning("notifier.waiting", service=error.service, reason=error)
            except Exception as error:  # noqa: BLE001 - the next round may go well
                log_frames(logger, "notifier.failed", error)
            if is_last:
                return

    def round(self) -> int:
        """Send what is due; returns how many messages were sent. None while another worker has the lease."""
        if self._operator:
            self._store.run(lambda connection: address_operator(connection, self._operator))
        if not self._hold():
            return 0
        self._store.run(note_ended)
        if time.monotonic() > self._forget_at:
            self._forget_at = time.monotonic() + FORGET_SECONDS
            self._store.run(forget_old)
        with self._store.snapshot() as connection:
            due = due_notifications(connection, at_most=MOST_PER_ROUND)
        return sum(self._sent(each) for each in due if self._hold())

    def _hold(self) -> bool:
        return self._store.run(
            lambda connection: take_lease(connection, LEASE, holder=self._holder, seconds=LEASE_SECONDS)
        )

    def _sent(self, due: Notification) -> bool:
        message = Message(id=due.id, happening=due.happening, content=due.content, happened_at=due.happened_at)
        try:
            self._send(message, due.target)
        except NotSent as problem:
            reason, is_final = str(problem), problem.is_final
        except Exception as error:  # noqa: BLE001 - one message must not stop the others
            log_frames(logger, "notifier.failed", error)
            reason, is_final = f"a fault of gradequeue ({type(error).__name__})", False
        else:
            self._store.run(lambda connection: note_sent(connection, due.id))
            logger.info("notification.sent", happening=due.happening, target=shown_target(due.target))
            return True
        goes_on = self._store.run(lambda connection: note_failed(connection, due, reason, is_final=is_final))
        logger.warning(
            "notification.not_sent" if goes_on else "notification.given_up",
            happening=due.happening, target=shown_target(due.target), reason=reason,
        )  # fmt: skip
        return False
