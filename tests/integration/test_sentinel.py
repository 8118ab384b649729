"""A broker whose primary Sentinel knows: URL and failover, for Celery and for our own clients."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ops.bench.chaos.services import Broker, broker_program
from ops.bench.processes import free_port, program
from tests.support.scene import open_scene
from tests.support.wait import wait_until
from workers.broker.address import BrokerAddress
from workers.broker.pools import async_connection_pool, connection_pool
from workers.publisher import new_celery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.store import Store

pytestmark = pytest.mark.integration

PASSWORD = "p@ss w?rd"


@contextmanager
def watched(folder: Path) -> Iterator[tuple[Broker, Broker, str]]:
    """A primary, its replica, and the URL of a Sentinel that watches them."""
    login = ("--requirepass", PASSWORD, "--masterauth", PASSWORD, "--dir", str(folder))
    primary, port = Broker(password=PASSWORD, options=login), free_port()
    primary.start()
    replica = Broker(password=PASSWORD, options=(*login, "--replicaof", f"127.0.0.1 {primary.port}"))
    replica.start()
    config = folder / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\nrequirepass watch-word\nsentinel monitor main 127.0.0.1 {primary.port} 1\n"
        f'sentinel auth-pass main "{PASSWORD}"\nsentinel down-after-milliseconds main 800\n'
        "sentinel failover-timeout main 2000\n"
    )
    command = [broker_program(), str(config), "--sentinel"]
    with program(command, {}, folder / "sentinel.log"):
        url = f"sentinel://:p%40ss%20w%3Frd@127.0.0.1:1,127.0.0.1:{port}/main/0?sentinel_password=watch-word"
        wait_until(lambda: knows_replica(port), "Sentinel has found the replica")
        yield primary, replica, url
    primary.kill()
    replica.kill()


def knows_replica(port: int) -> bool:
    client = redis.Redis(port=port, password="watch-word")
    try:
        found: Any = client.sentinel_masters()
        return bool(found["main"]["num-slaves"])
    except (redis.RedisError, KeyError):
        return False
    finally:
        client.close()


def test_jobs_go_on_where_the_primary_went(store: Store, tmp_path: Path):
    with (
        watched(tmp_path) as (primary, replica, url),
        open_scene(store, tmp_path, broker=primary, REDIS_URL=url, GRADEQUEUE_BROKER_TIMEOUT="2") as scene,
    ):
        scene.enqueue(60, "b")
        scene.wait_for("b", lambda progress: progress.succeeded > 5, "it is under way")
        primary.kill()
        progress = scene.wait_for("b", lambda progress: progress.is_finished, "all is graded")
        assert (progress.succeeded, progress.attempts) == (60, {"answered": 60})
        assert len(scene.workers.pids) == 1
        with replica.client() as client:
            assert client.info("replication")["role"] == "master"
            assert any(b"budget" in key for key in client.scan_iter("gradequeue:*")), "the budget went there too"


def test_a_sentinel_url_means_the_same_to_celery_and_to_our_own_clients():
    url = "sentinels://me:a%40%2F%3B@one:1,two/main/3?sentinel_password=w&ssl_check_hostname=no"
    address = BrokerAddress.parse(url)
    assert address.shown == "sentinels://one:1,two:26379/main/3"
    assert address.sentinels is not None
    assert dict(address.sentinels.options) == {
        "password": "w", "ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": False
    }  # fmt: skip
    app = new_celery(url)
    connection = app.connection_for_read()
    assert (connection.hostname, connection.password, connection.virtual_host) == ("one", "a@/;", "3")
    assert connection.alt == ["sentinel://me:a%40%2F%3B@one:1/3", "sentinel://me:a%40%2F%3B@two:26379/3"]
    app.close()
    for pool in (connection_pool(url, max_connections=2), async_connection_pool(url, max_connections=2)):
        own: Any = pool
        settings = own.connection_kwargs
        assert (settings["username"], settings["password"], settings["db"]) == ("me", "a@/;", 3)
        assert settings["ssl_check_hostname"] is False
        assert own.max_connections == 2
    assert asyncio.iscoroutinefunction(own.get_master_address)
