"""Services as an IT department gives them: an authority of its own, passwords of any characters, few rights."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from ops.bench.chaos.services import Broker, Cluster, broker_program, cluster
from ops.bench.processes import free_port
from tests.support.certificates import Certificates, signed_certificates
from tests.support.places import REPOSITORY
from tests.support.scene import open_scene
from tests.support.wait import wait_until
from workers.contract.errors import ServiceUnavailable
from workers.publisher import KEY_PREFIX, Publisher, new_redis
from workers.settings import load_settings
from workers.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

PASSWORD = "p@ss:w/rd#?%&;,ü [1]"
MOST_CONNECTIONS = 5
ACCESS = "hostssl all grader 127.0.0.1/32 scram-sha-256\nhost all grader all reject\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return signed_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[Cluster]:
    """PostgreSQL that takes its grader by TLS and password alone, on five connections."""
    if not Cluster.is_possible():
        pytest.skip("PostgreSQL is not installed here")
    with cluster(access=ACCESS) as server:
        server.crash()
        files = {"ssl_cert_file": certificates.certificate, "ssl_key_file": certificates.key}
        server.settings = {"ssl": "on", **{name: str(server.keep(file)) for name, file in files.items()}}
        server.start()
        with psycopg.connect(server.url, autocommit=True) as connection:
            made = sql.SQL("CREATE ROLE grader LOGIN CONNECTION LIMIT {} PASSWORD {}")
            connection.execute(made.format(MOST_CONNECTIONS, PASSWORD))
            connection.execute("CREATE SCHEMA grader AUTHORIZATION grader")
        yield server


def address(server: Cluster, options: str, *, host: str = "127.0.0.1") -> str:
    return f"postgresql://grader:{quote(PASSWORD, safe='')}@{host}:{server.port}/postgres?{options}"


@pytest.fixture
def url(server: Cluster, certificates: Certificates) -> str:
    return address(server, f"sslmode=verify-full&sslrootcert={certificates.authority}")


def test_a_server_that_its_authority_signed_is_used_and_no_other(
    server: Cluster, url: str, certificates: Certificates, tmp_path: Path
):
    with closing(Store.open(url)) as store, store.snapshot() as connection:
        assert connection.exec_driver_sql("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").scalar() is True
    stranger = signed_certificates(tmp_path).authority
    refused = {
        f"sslmode=verify-full&sslrootcert={stranger}": "certificate verify failed; name the authority",
        f"sslmode=verify-full&sslrootcert={tmp_path / 'none.pem'}": "does not exist",
        "sslmode=disable": "pg_hba.conf rejects connection",
    }
    for options, sentence in refused.items():
        with closing(Store.open(address(server, options))) as store, pytest.raises(ServiceUnavailable) as said:
            store.prepare()
        assert sentence in str(said.value)
        assert PASSWORD not in str(said.value)
    elsewhere = address(server, f"sslmode=verify-full&sslrootcert={certificates.authority}", host="localhost")
    with closing(Store.open(elsewhere)) as store, pytest.raises(ServiceUnavailable, match="localhost"):
        store.prepare()


def redis_with_tls(certificates: Certificates, tls_port: int) -> Broker:
    """A server whose users are those of the example file, with TLS on a second port."""
    example = (REPOSITORY / "ops/deploy/redis-user.conf").read_text()
    [line] = [line for line in example.splitlines() if line.startswith("user ")]
    rules = [f">{PASSWORD}" if rule == ">CHANGE-ME" else rule for rule in line.split()[1:]]
    options = (
        "--tls-port", str(tls_port), "--tls-cert-file", str(certificates.certificate),
        "--tls-key-file", str(certificates.key), "--tls-ca-cert-file", str(certificates.authority),
        "--tls-auth-clients", "no",
    )  # fmt: skip
    programs = [each for each in ("/usr/bin/redis-server", broker_program()) if Path(each).exists()]
    for program in programs:
        broker = Broker(options=options, program=program)
        try:
            broker.start()
        except TimeoutError:
            continue
        with broker.client() as client:
            client.execute_command("ACL", "SETUSER", *rules)
        return broker
    pytest.skip("no Redis here was built with TLS")


def test_workers_grade_with_few_rights_and_few_connections(
    server: Cluster, url: str, certificates: Certificates, tmp_path: Path
):
    tls_port = free_port()
    broker = redis_with_tls(certificates, tls_port)
    login = f"gradequeue:{quote(PASSWORD, safe='')}"
    redis_url = f"rediss://{login}@127.0.0.1:{tls_port}/0?ssl_ca_certs={certificates.authority}"
    with closing(Store.open(server.url)) as administrator:
        with administrator.transaction() as connection:
            connection.exec_driver_sql("ALTER ROLE grader SET search_path = grader")
            connection.exec_driver_sql("ALTER ROLE postgres SET search_path = grader")
        administrator.close()  # what it opens from now on has that setting
        with closing(Store.open(url)) as own:
            own.prepare()
        with (
            psycopg.connect(url),
            psycopg.connect(url),
            open_scene(
                administrator,
                tmp_path,
                latency_ms="5-50",
                workers=2,
                broker=broker,
                REDIS_URL=redis_url,
                DATABASE_URL=url,
            ) as scene,
        ):
            publisher = Publisher.connect(load_settings(redis_url=redis_url))
            assert publisher.refusals() == []
            publisher.close()
            scene.enqueue(100, "b")
            progress = scene.wait_for("b", lambda progress: progress.is_finished, "all is graded")
            wait_until(lambda: hears_of_workers(redis_url), "Flower hears of workers")
            assert (progress.succeeded, progress.attempts) == (100, {"answered": 100})
            logs = scene.workers.logs().decode()
            assert "NOPERM" not in logs
            assert PASSWORD not in logs
            assert "too many connections for role" in logs, "there were too few, it was said, and somebody waited"


def hears_of_workers(redis_url: str) -> bool:
    """Whether an event of Celery's comes within seconds, by the pattern that Flower subscribes to."""
    client: Any = new_redis(redis_url)
    with closing(client), client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.psubscribe(f"{KEY_PREFIX}/0.celeryev/*")
        return any(subscription.get_message(timeout=2) for _ in range(3))
