"""One message to one target, in bounded time. Every failure is a `NotSent` whose text holds no secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workers.contract.notification import address_of
from workers.notify.failure import NotSent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.settings import Settings

__all__ = ["Message", "NotSent", "Sender"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent; `happened_at` is seconds since the epoch."""

    id: str
    """The same at each try: a receiver that has seen it may ignore it."""
    happening: str
    content: Mapping[str, Any]
    happened_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The settings that messages are sent with."""

    secret: str | None = field(default=None, repr=False)
    smtp_url: str | None = field(default=None, repr=False)
    mail_from: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Sender:
        """As these settings say."""
        secret = settings.notify_secret
        return cls(
            secret=secret.get_secret_value() if secret else None,
            smtp_url=settings.smtp_url,
            mail_from=settings.mail_from,
        )

    def send(self, message: Message, target: str) -> None:
        """Send it once; raises `NotSent`. At most about half a minute."""
        address = address_of(target)
        if address is None:
            from workers.notify.webhook import post  # noqa: PLC0415 - most workers send nothing

            post(message, target, secret=self.secret)
        else:
            from workers.notify.mail import mail  # noqa: PLC0415 - as above

            mail(message, address, smtp_url=self.smtp_url, sender=self.mail_from)
