"""What `gradequeue doctor` tries of the notifications: each of the operator's targets, the mail server, the outbox."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from producer.terminal.notices import outbox_notices
from workers.contract.errors import GradequeueError
from workers.contract.notification import OPERATOR, Happening, address_of, shown_target, targets_of
from workers.store import Store
from workers.store.outbox import OutboxState, read_outbox
from workers.store.sql import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workers.notify.sending import Sender
    from workers.settings import Settings


def notification_looks(settings: Settings, database_url: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """(subject, look): each says what it found, or raises `ValueError`.

    Webhooks get a test message, the mail server a login and no mail.
    """
    from workers.notify.mail import try_login  # noqa: PLC0415 - what no producer but `doctor` needs, as below
    from workers.notify.sending import Sender as NewSender  # noqa: PLC0415

    sender = NewSender.of(settings)
    for target in targets_of([settings.notify]):
        if target != OPERATOR:
            yield f"notify {shown_target(target)}", partial(_try_target, sender, target)
    if settings.smtp_url:
        yield "mail", partial(_tried, lambda: try_login(settings.smtp_url))
    state = _outbox(database_url)
    if state.waiting or state.given_up:
        yield "notifications", partial(_said, state)


def _try_target(sender: Sender, target: str) -> str:
    if address_of(target) is not None:
        if not sender.smtp_url or not sender.mail_from:
            raise ValueError("mail needs GRADEQUEUE_SMTP_URL and GRADEQUEUE_MAIL_FROM")
        return "by mail, whose server is tried below"
    from workers.notify.sending import Message  # noqa: PLC0415

    message = Message(id=new_id(), happening=Happening.TEST, content={}, happened_at=time.time())

    def send() -> str:
        sender.send(message, target)
        return "took a signed test message"

    return _tried(send)


def _tried(look: Callable[[], str]) -> str:
    from workers.notify.failure import NotSent  # noqa: PLC0415

    try:
        return look()
    except NotSent as problem:
        raise ValueError(str(problem)) from None


def _outbox(database_url: str) -> OutboxState:
    """Empty when the store is away, which has a line of its own."""
    try:
        store = Store.open(database_url)
        try:
            store.migrate()
            with store.snapshot() as connection:
                return read_outbox(connection)
        finally:
            store.close()
    except (GradequeueError, OSError, ValueError):
        return OutboxState()


def _said(state: OutboxState) -> str:
    if state.given_up:
        raise ValueError(outbox_notices(state)[0])
    return f"{state.waiting} to be sent" + (f"; the last failure: {state.error}" if state.error else "")
