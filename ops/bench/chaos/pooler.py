"""PgBouncer in transaction mode before a server, belonging to one run."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg

from ops.bench.processes import END_SECONDS, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
MOST_CLIENTS = 200


def is_possible() -> bool:
    """True where PgBouncer is installed."""
    return os.access(PROGRAM, os.X_OK)


@contextmanager
def pooler(server_url: str, *, connections: int, host: str = "127.0.0.1", schema: str = "public") -> Iterator[str]:
    """The URL of a pooler before this server; it holds at most so many connections to it, and listens on `host`."""
    with TemporaryDirectory(prefix="gq-pooler-") as folder:
        server, port = urlsplit(server_url), free_port()
        Path(folder).chmod(0o755)  # for the user that it runs as
        config = Path(folder) / "pgbouncer.ini"
        config.write_text(
            "[databases]\n"
            f"pooled = host={server.hostname} port={server.port or 5432} dbname={server.path[1:]} "
            f"user={server.username} password={server.password or 'none'} "
            f"connect_query='SET search_path TO {schema}'\n"
            "[pgbouncer]\n"
            f"listen_addr = {host}\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {connections}\n"
            f"max_client_conn = {MOST_CLIENTS}\nserver_login_retry = 1\n"
        )
        url = f"postgresql://anybody@{host}:{port}/pooled"
        with subprocess.Popen(
            [PROGRAM, str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_not_as_root()
        ) as process:
            try:
                wait_until(lambda: _answers(url), "the pooler answers", END_SECONDS)
                yield url
            finally:
                process.terminate()


def _not_as_root() -> dict[str, Any]:
    """PgBouncer refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
