"""A mail by the operator's server: encrypted before the login, bounded, and refused in words without secrets."""

from __future__ import annotations

import base64
import shutil
import ssl
import subprocess
from email import message_from_string, policy
from typing import TYPE_CHECKING

import pytest

from tests.support.receivers import MailBox, mail_server
from workers.notify import mail as module
from workers.notify.mail import try_login
from workers.notify.sending import Message, NotSent, Sender

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE = Message(
    id="0123abcd", happening="batch.stopped", content={"batch": "week 3", "reason": "spend_cap"}, happened_at=1.8e9
)


def send(box: MailBox, *, login: str = "", host: str = "127.0.0.1", address: str = "me@uni.example") -> None:
    sender = Sender(smtp_url=f"smtp://{login}{host}:{box.port}", mail_from="Grader <grader@uni.example>")
    sender.send(MESSAGE, f"mailto:{address}")


def test_a_relay_on_this_machine_takes_a_mail_that_says_what_happened():
    with mail_server(MailBox()) as box:
        send(box)
    [letter] = box.letters
    read = message_from_string(letter, policy=policy.default)
    assert (read["From"], read["To"]) == ("Grader <grader@uni.example>", "me@uni.example")
    assert read["Message-ID"] == "<0123abcd@gradequeue.invalid>"
    said = "Batch week 3 has stopped: its spend cap is reached. See: gradequeue status 'week 3'"
    assert read["Subject"] == f"gradequeue: {said}"
    assert read.get_content() == f"{said}\r\n"


def test_a_login_is_never_sent_in_the_clear():
    with mail_server(MailBox(offers=("AUTH PLAIN",))) as box, pytest.raises(NotSent, match="offers no STARTTLS"):
        send(box, login="me:hunter2@")
    assert not [command for command in box.commands if command.startswith(("AUTH", "MAIL"))]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 with its key, in one file."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("makes its certificate with openssl")
    folder = tmp_path_factory.mktemp("tls")
    key, made = folder / "key.pem", folder / "cert.pem"
    command = [
        program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    made.write_text(made.read_text() + key.read_text())
    return made


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_with_starttls_the_login_and_the_mail_are_encrypted(certificate: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(MailBox(offers=("AUTH PLAIN",), tls=tls(certificate))) as box:
        send(box, login="me:hunter%402@")
        assert try_login(f"smtp://127.0.0.1:{box.port}") == "mail server 127.0.0.1 answers"
    assert box.is_encrypted
    assert len(box.letters) == 1
    [login] = [command for command in box.commands if command.startswith("AUTH")]
    assert base64.b64decode(login.split()[-1]) == b"\0me\0hunter@2"


def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_login(certificate: Path):
    box = MailBox(offers=("AUTH PLAIN",), tls=tls(certificate))
    with mail_server(box), pytest.raises(NotSent, match="no TLS with the mail server"):
        send(box, login="me:hunter2@")
    assert not [command for command in box.commands if command.startswith("AUTH")]


def test_a_refused_login_is_said_by_its_code(certificate: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    box = MailBox(offers=("AUTH PLAIN",), tls=tls(certificate), refusals={"AUTH": "535 hunter2 is wrong"})
    with mail_server(box), pytest.raises(NotSent, match=r"refuses the login \(535\)$"):
        send(box, login="me:hunter2@")


@pytest.mark.parametrize(
    ("command", "said"),
    [("RCPT", r"refuses the address \(550\)$"), ("MAIL", "answers 550$"), ("EHLO", "answers|reached")],
)
def test_a_refused_mail_is_said_by_its_code(command: str, said: str):
    box = MailBox(refusals={command: "550 not you", "HELO": "550 not you"})
    with mail_server(box), pytest.raises(NotSent, match=said):
        send(box)
    assert box.letters == []


def test_a_server_that_trickles_is_left_after_a_bounded_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WHOLE_SECONDS", 0.2)
    monkeypatch.setattr(module, "STEP_SECONDS", 60.0)
    box = MailBox(refusals={"MAIL": "250-and so on"})  # an answer without an end
    with mail_server(box), pytest.raises(NotSent, match="SMTPServerDisconnected"):  # not by the server's own silence
        send(box)


@pytest.mark.parametrize(
    "url", ["", "hunter2", "http://me:hunter2@host", "smtp://:99999", "smtps://", "smtp://me:hunter2@"]
)
def test_what_is_no_mail_server_is_said_without_its_password(url: str):
    with pytest.raises(NotSent, match="GRADEQUEUE_SMTP_URL") as refused:
        try_login(url)
    assert "hunter2" not in str(refused.value)


def test_mail_needs_an_address_to_come_from():
    with pytest.raises(NotSent, match="GRADEQUEUE_MAIL_FROM is not set"):
        Sender(smtp_url="smtp://127.0.0.1:9").send(MESSAGE, "mailto:me@uni.example")
    with pytest.raises(NotSent, match="cannot be written into a mail"):
        Sender(smtp_url="smtp://127.0.0.1:9", mail_from="a@b\nBcc: c@d").send(MESSAGE, "mailto:me@uni.example")
