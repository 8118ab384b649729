"""DATABASE_URL, read or refused with a sentence that says what to write. It holds a password: no part is quoted.

What is refused here is what SQLAlchemy or the driver would answer with a traceback, or take for another host.
"""

from __future__ import annotations

from sqlalchemy import URL, exc, make_url

from workers.contract.errors import ServiceUnavailable

FORMS = "use postgresql://user:password@host:5432/name or sqlite:////absolute/path/of/the/file.db"
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
}
HIGHEST_PORT = 65535


def store_url(url: str) -> URL:
    """The URL with the driver that this program brings. Raises `ServiceUnavailable`."""
    try:
        parsed = make_url(url.strip())
    except exc.ArgumentError:
        raise _refused("is not a database URL") from None
    except ValueError:
        raise _refused("has a port that is no number") from None
    if parsed.drivername not in DRIVERS:
        raise _refused("names a database or a driver that gradequeue does not use")
    parsed = parsed.set(drivername=DRIVERS[parsed.drivername])
    parts = "".join(
        part or "" for part in (url.strip(), parsed.username, parsed.password, parsed.host, parsed.database)
    )
    if not parts.isprintable():
        raise _refused("holds a control character")
    (_check_file if parsed.get_backend_name() == "sqlite" else _check_server)(parsed)
    return parsed


def _check_file(url: URL) -> None:
    if url.host or url.username or url.port:
        raise _refused("has a host before the file; sqlite takes three slashes and the path")
    if url.database in {None, "", ":memory:"}:
        raise ServiceUnavailable("store", "a store in memory cannot be shared by workers; give sqlite:/// a file")


def _check_server(url: URL) -> None:
    if url.port is not None and not 0 < url.port <= HIGHEST_PORT:
        raise _refused(f"has a port outside 1 to {HIGHEST_PORT}")
    if url.host is not None and "@" in url.host:
        raise _refused('has an "@" in its user or password; write it as %40, and "/" as %2F')


def _refused(why: str) -> ServiceUnavailable:
    return ServiceUnavailable("store", f"DATABASE_URL {why}; {FORMS}")
