"""A mail through the operator's own server: TLS, a login, one plain line of text.

smtps://user:password@host      TLS from the first byte (port 465)
smtp://user:password@host       STARTTLS, without which nothing is sent (port 587)
smtp://127.0.0.1:25             a relay on this machine may do without TLS and login
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import format_datetime
from threading import Timer
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from workers.contract.notification import sentence
from workers.notify.failure import NotSent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.notify.sending import Message

STEP_SECONDS = 10.0
"""For one answer of the server."""
WHOLE_SECONDS = 30.0
"""For all of them: then the connection is closed, however the server trickles."""
_PORTS = {"smtps": 465, "smtp": 587}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MOST_SUBJECT_CHARACTERS = 150
_BAD_URL = "GRADEQUEUE_SMTP_URL should look like smtps://user:password@host or smtp://user:password@host"


def mail(message: Message, address: str, *, smtp_url: str | None, sender: str | None) -> None:
    """Raises `NotSent` unless the server took it."""
    if not sender:
        raise NotSent("GRADEQUEUE_MAIL_FROM is not set: the address that mail comes from")
    text = sentence(message.happening, message.content)
    letter = EmailMessage()
    try:
        letter["From"], letter["To"] = sender, address
        letter["Subject"] = f"gradequeue: {text}"[:MOST_SUBJECT_CHARACTERS]
        letter["Date"] = format_datetime(datetime.fromtimestamp(message.happened_at, UTC))
        letter["Message-ID"] = f"<{message.id}@gradequeue.invalid>"  # one that comes twice is shown once
        letter["Auto-Submitted"] = "auto-generated"
    except (MessageError, ValueError, IndexError):
        raise NotSent("an address cannot be written into a mail") from None
    letter.set_content(f"{text}\n")
    with connected(smtp_url) as server:
        server.send_message(letter)


def try_login(smtp_url: str | None) -> str:
    """Connect, encrypt and log in, as for a mail, and send none; says what was reached. Raises `NotSent`."""
    with connected(smtp_url) as server:
        server.noop()
    return f"mail server {urlsplit(smtp_url or '').hostname} answers"


@contextmanager
def connected(smtp_url: str | None) -> Iterator[smtplib.SMTP]:
    """The server, after TLS and login; whatever goes wrong until the end of the block is a `NotSent`."""
    if not smtp_url:
        raise NotSent("GRADEQUEUE_SMTP_URL is not set: the server that takes mail")
    parts, host, port = _place(smtp_url)
    context = ssl.create_default_context()
    is_tls = parts.scheme == "smtps"
    server = smtplib.SMTP_SSL(timeout=STEP_SECONDS, context=context) if is_tls else smtplib.SMTP(timeout=STEP_SECONDS)
    server._host = host  # type: ignore[attr-defined]  # noqa: SLF001 - whose certificate is expected; connect() does not say
    with _translated(), _bounded(server):
        try:
            server.connect(host, port)
            if not is_tls:
                _encrypt(server, host, context, has_login=bool(parts.username))
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            yield server
            server.quit()
        finally:
            server.close()


def _place(smtp_url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(smtp_url)
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise NotSent(_BAD_URL) from None
    if not parts.hostname or parts.scheme not in _PORTS:
        raise NotSent(_BAD_URL)
    return parts, parts.hostname, port


@contextmanager
def _translated() -> Iterator[None]:
    """Codes alone: a server's text may quote what it was sent."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise NotSent(f"the mail server refuses the login ({error.smtp_code})") from None
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"the mail server answers {error.smtp_code}") from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _text in error.recipients.values()})
        raise NotSent(f"the mail server refuses the address ({', '.join(map(str, codes))})") from None
    except ssl.SSLError as error:
        raise NotSent(f"no TLS with the mail server ({error.reason or type(error).__name__})") from None
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise NotSent(f"the mail server was not reached ({type(error).__name__})") from None


def _encrypt(server: smtplib.SMTP, host: str, context: ssl.SSLContext, *, has_login: bool) -> None:
    server.ehlo_or_helo_if_needed()
    if server.has_extn("starttls"):
        server.starttls(context=context)
        server.ehlo_or_helo_if_needed()
    elif has_login or host not in _LOOPBACK:
        raise NotSent("the mail server offers no STARTTLS; nothing is sent in the clear")


def _cut(server: smtplib.SMTP) -> None:
    """Closing a socket does not wake who reads from it; this does, and below TLS."""
    if isinstance(server.sock, socket.socket):
        with suppress(OSError):
            socket.socket.shutdown(server.sock, socket.SHUT_RDWR)


@contextmanager
def _bounded(server: smtplib.SMTP) -> Iterator[None]:
    timer = Timer(WHOLE_SECONDS, _cut, [server])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
