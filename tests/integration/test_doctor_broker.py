"""`doctor` tries what workers do on the broker, and says which right is missing; REDIS_URL means one thing to all."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ops.bench.chaos.services import Broker, broker_program
from ops.bench.processes import free_port
from producer.local.doctor import service_findings
from producer.local.embedded import Services
from workers.broker.address import BrokerAddress, reason_of
from workers.contract.errors import ServiceUnavailable
from workers.publisher import Publisher, new_celery, new_redis
from workers.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


def broker_findings(folder: Path, url: str) -> list[tuple[bool | None, str]]:
    settings = load_settings(data_dir=folder, offline=True)
    found = service_findings(settings, Services(url, f"sqlite:///{folder / 'store.db'}", None))
    return [(each.is_well, each.value) for each in found if each.subject == "broker"]


def test_a_broker_that_does_everything_is_well_and_nothing_is_left_there(broker: Broker, tmp_path: Path):
    [(is_well, value)] = broker_findings(tmp_path, broker.url)
    assert is_well, value
    assert broker.contents() == b""


def test_each_right_that_a_user_lacks_is_named_with_what_grants_it(broker: Broker, tmp_path: Path):
    with broker.client() as client:
        rules = ["~gradequeue:*", "&gradequeue:*", "+@all", "-eval", "-evalsha", "-brpop", "-@dangerous"]
        client.execute_command("ACL", "SETUSER", "grader", "on", ">hunter2", *rules)
        client.execute_command("ACL", "SETUSER", "other", "on", ">hunter2", "~other:*", "+@all", "allchannels")
    found = broker_findings(tmp_path, f"redis://grader:hunter2@127.0.0.1:{broker.port}/0")
    text = " ".join(value for _is_well, value in found)
    assert [is_well for is_well, _value in found] == [False] * 3
    assert "+brpop" in text
    assert "+evalsha" in text
    assert "+psubscribe +punsubscribe &gradequeue:/0.celery.pidbox" in text, "a pattern must be allowed as it is"
    assert "hunter2" not in text

    other = broker_findings(tmp_path, f"redis://other:hunter2@127.0.0.1:{broker.port}/0")
    assert all("~gradequeue:*" in value for _is_well, value in other)
    assert len(other) >= 5


def test_a_wrong_password_and_a_replica_are_said_in_words(broker: Broker, tmp_path: Path):
    [(is_well, value)] = broker_findings(tmp_path, f"redis://nobody:hunter2@127.0.0.1:{broker.port}/0")
    assert (is_well, "refuses the password" in value) == (False, True)
    with broker.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
    [(is_well, value)] = broker_findings(tmp_path, broker.url)
    assert (is_well, "read-only replica" in value) == (False, True)


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A server that speaks TLS with a certificate that no authority signed; its port and the certificate."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    for program in ("/usr/bin/redis-server", broker_program()):
        options = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file"]
        options += [str(key), "--tls-auth-clients", "no", "--bind", "127.0.0.1", "--save", ""]
        try:
            process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            continue
        if _speaks_tls(port, process):
            yield port, certificate
            process.terminate()
            process.wait(60)
            return
    pytest.skip("no Redis here was built with TLS")


def _speaks_tls(port: int, process: subprocess.Popen[bytes]) -> bool:
    while process.poll() is None:
        client = redis.Redis(port=port, host="127.0.0.1", ssl=True, ssl_cert_reqs="none")
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            continue
        finally:
            client.close()
    return False


def ping_both(url: str) -> list[str]:
    """What redis-py and kombu each say: "" when they are let in."""
    said = []
    client = new_redis(url, socket_seconds=5)
    app = new_celery(url, socket_seconds=5)
    try:
        for connect in (client.ping, lambda: app.connection_for_read().connect()):
            try:
                connect()
            except (redis.RedisError, OSError) as error:
                said.append(reason_of(error))
            else:
                said.append("")
    finally:
        client.close()
        app.close()
    return said


def test_both_clients_check_the_certificate_unless_told_otherwise(tls_broker: tuple[int, Path]):
    port, certificate = tls_broker
    url = f"rediss://127.0.0.1:{port}/0"
    assert all("certificate is not trusted" in said for said in ping_both(url))
    assert ping_both(f"{url}?ssl_ca_certs={certificate}") == ["", ""]
    assert ping_both(f"{url}?ssl_cert_reqs=none") == ["", ""]
    elsewhere = ping_both(f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}")
    assert all("certificate is for another host" in said for said in elsewhere)


def test_a_bare_rediss_url_asks_kombu_for_a_certificate_too():
    tls: Any = BrokerAddress.parse("rediss://broker").tls
    assert (tls["ssl_cert_reqs"], tls["ssl_check_hostname"]) == ("required", True)
    app = new_celery("rediss://broker")
    assert app.connection_for_read().ssl == tls
    channel_class = app.connection_for_read().transport.Channel
    assert channel_class.connection_class_ssl(**tls).cert_reqs is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("rediss://h?ssl_cert_reqs=CERT_REQUIRED", "write ssl_cert_reqs=required"),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "write ssl_cert_reqs=none"),
        ("rediss://h?ssl_cert_reqs=yes", "use required, optional or none"),
        ("redis://:hunter2@h:port", "host or port cannot be read"),
        ("redis://:hunter2@h:70000", "host or port cannot be read"),
        ("redis://:hunter2#x@h/0", "host or port cannot be read"),
        ("redis://h/zero", "database is not a number"),
        ("redis://h?hunter2=1", "is not known"),
        ("rediss://h?ssl_ca_certs=/nowhere/hunter2.pem", "file of ssl_ca_certs is missing or cannot be read"),
        ("rediss://h?ssl_keyfile=hunter2.pem", "ssl_keyfile is a relative path"),
        ("sentinel://:hunter2@one:1,two", "lacks the name of the servers"),
        ("sentinel://:hunter2@one:1,two:zero/main", "host or port cannot be read"),
        ("sentinel://one:1,two/main?ssl_ca_certs=x", "is not known"),
        ("amqp://h", "not a Redis URL"),
        ("hunter2", "not a Redis URL"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_a_sentence(url: str, sentence: str):
    for use in (
        BrokerAddress.parse,
        new_redis,
        new_celery,
        lambda url: Publisher.connect(load_settings(redis_url=url)),
    ):
        with pytest.raises(ServiceUnavailable, match=sentence) as refused:
            use(url)
        assert refused.value.service == "broker"
        assert "hunter2" not in str(refused.value).replace("'hunter2' is not known", "")


@pytest.mark.parametrize("user", ["", "grader"])
def test_a_socket_with_a_password_lets_both_clients_in(user: str, tmp_path: Path):
    path = tmp_path / "b.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--requirepass", "p@ss w?rd"]
    process = subprocess.Popen([broker_program(), *options], stdout=subprocess.DEVNULL)
    try:
        login = redis.Redis(unix_socket_path=str(path), password="p@ss w?rd")
        while not path.exists():
            assert process.poll() is None
        login.execute_command("ACL", "SETUSER", "grader", "on", ">p@ss w?rd", "~*", "&*", "+@all")
        login.close()
        name = f"&username={user}" if user else ""
        assert ping_both(f"unix://{path}?db=1&password=p%40ss%20w%3Frd{name}") == ["", ""]
        assert ping_both(f"unix://{path}?db=1") == ["it refuses the password"] * 2
    finally:
        process.terminate()
        process.wait(60)
