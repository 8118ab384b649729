"""REDIS_URL, read in one place for redis-py and for kombu, and what the broker's errors mean in words.

Imports nothing of ours but the contract, and no Celery. A message here never holds a password, a key or a job.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from redis.retry import Retry

from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

SENTINEL = frozenset({"sentinel", "sentinels"})
SCHEMES = ("redis", "rediss", "unix", *sorted(SENTINEL))
DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379
TLS_OPTIONS = (
    "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_check_hostname",
    "ssl_ciphers",
)  # fmt: skip
SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "redis": ("db",),
    "rediss": ("db", *TLS_OPTIONS),
    "unix": ("db", "username", "password"),
    "sentinel": ("db", *SENTINEL_LOGIN),
    "sentinels": ("db", *SENTINEL_LOGIN, *TLS_OPTIONS),
}
_TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
CERTIFICATE_CHECKS = ("required", "optional", "none")
_NO = frozenset({"0", "false", "f", "no", "n", ""})
_USE = (
    "use redis://host:6379/0, rediss://host:6379/0 for TLS, unix:///path/to/socket, or "
    "sentinel://host:26379,host:26379/name/0 (sentinels:// for TLS)"
)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who knows which of several servers is the primary at present."""

    places: tuple[tuple[str, int], ...]
    name: str
    """Of the group of servers, as Sentinel's configuration has it."""
    options: Mapping[str, object] = field(repr=False)
    """redis-py's, for connections to the Sentinels: login and TLS of their own."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """One broker, as both clients take it. Certificates are checked unless the URL says otherwise."""

    redis_url: str = field(repr=False)
    """For redis-py; with `sentinels`, all but host and port, which they know. See `pools`."""
    celery_url: str = field(repr=False)
    """For kombu; options of TLS travel in `tls`, because kombu's own reading checks no certificate by default."""
    tls: Mapping[str, object] | None = field(repr=False)
    """Celery's `broker_use_ssl`; None without TLS."""
    shown: str
    """Without user name, password and options."""
    database: int
    user: str
    """The ACL user whose rights count."""
    sentinels: Sentinels | None = None

    @property
    def transport_options(self) -> dict[str, object]:
        """Kombu's."""
        if self.sentinels is None:
            return {}
        options = {**self.sentinels.options, "retry": Retry(NoBackoff(), 0)}  # the next Sentinel is asked instead
        return {"master_name": self.sentinels.name, "sentinel_kwargs": options}

    @classmethod
    def parse(cls, url: str) -> BrokerAddress:
        """Raises `ServiceUnavailable` with what is wrong with REDIS_URL, never with its text."""
        parts = _split(url)
        options = _options(parts)
        if parts.scheme in SENTINEL:
            return _sentinel_address(parts, options)
        database = _database("" if parts.scheme == "unix" else parts.path, options)
        if parts.scheme == "unix":
            return _socket_address(parts, options, database)
        return _network_address(parts, options, database)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.scheme in SENTINEL or parts.port
    except ValueError:
        raise _unreadable() from None
    if parts.scheme not in SCHEMES:
        raise _refused(f"it is not a Redis URL; {_USE}")
    if parts.fragment:
        raise _refused("it holds a '#'; write that character of the password as %23")
    return parts


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = _OPTIONS[parts.scheme]
    for name in options:
        if name not in known:
            raise _refused(f"the option {name[:40]!r} is not known; {parts.scheme}:// takes {', '.join(known)}")
    check = options.get("ssl_cert_reqs", "required")
    if check not in CERTIFICATE_CHECKS:
        meant = check.removeprefix("CERT_").lower()
        advice = f"write ssl_cert_reqs={meant}" if meant in CERTIFICATE_CHECKS else "use required, optional or none"
        raise _refused(f"redis-py does not take this value of ssl_cert_reqs; {advice}")
    for name in _TLS_FILES:
        if name in options:
            _check_file(name, Path(options[name]))
    return options


def _check_file(name: str, path: Path) -> None:
    """Looked at here, because the clients say of it what they say of a socket that is missing."""
    if not path.is_absolute():
        raise _refused(f"{name} is a relative path; write the whole path, because workers start in another folder")
    if not os.access(path, os.R_OK):
        raise _refused(f"the file of {name} is missing or cannot be read")


def _database(path: str, options: Mapping[str, str]) -> int:
    text = options.get("db") or unquote(path.strip("/")) or "0"
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise _refused("its database is not a number; it looks like redis://host:6379/0")
    return int(text)


def _socket_address(parts: SplitResult, options: Mapping[str, str], database: int) -> BrokerAddress:
    user = unquote(parts.username or "") or options.get("username", "")
    password = unquote(parts.password or "") or options.get("password", "")
    path = quote(unquote(parts.path))
    login = {name: value for name, value in (("username", user), ("password", password)) if value}
    return BrokerAddress(
        redis_url=f"unix://{path}?{urlencode({'db': database, **login})}",
        celery_url=f"redis+socket://{_login(user, password)}{path}?virtual_host={database}",
        tls=None,
        shown=f"unix://{path}",
        database=database,
        user=user or "default",
    )


def _network_address(parts: SplitResult, options: Mapping[str, str], database: int) -> BrokerAddress:
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    host = parts.hostname or "127.0.0.1"
    place = f"{f'[{host}]' if ':' in host else quote(host)}:{parts.port or DEFAULT_PORT}"
    with_login = f"{parts.scheme}://{_login(user, password)}{place}/{database}"
    tls_options = {name: value for name, value in options.items() if name in TLS_OPTIONS}
    return BrokerAddress(
        redis_url=f"{with_login}?{urlencode(tls_options)}" if tls_options else with_login,
        celery_url=with_login,
        tls=_tls(tls_options) if parts.scheme == "rediss" else None,
        shown=f"{parts.scheme}://{place}/{database}",
        database=database,
        user=user or "default",
    )


def _sentinel_address(parts: SplitResult, options: Mapping[str, str]) -> BrokerAddress:
    """`sentinel://user:password@host:26379,host:26379/name/0`: the login is that of the servers that they watch."""
    login_text, _, places_text = parts.netloc.rpartition("@")
    user, _, password = (unquote(part) for part in login_text.partition(":"))
    places = tuple(_sentinel_place(text) for text in places_text.split(","))
    name, _, path = parts.path.strip("/").partition("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise _refused("it lacks the name of the servers, as Sentinel knows them: sentinel://host:26379/name/0")
    database, tls_options = _database(path, options), {n: v for n, v in options.items() if n in TLS_OPTIONS}
    tls = _tls(tls_options) if parts.scheme == "sentinels" else None
    shown = [f"{f'[{host}]' if ':' in host else quote(host)}:{port}" for host, port in places]
    login, scheme = _login(user, password), "rediss" if tls else "redis"
    names = {f"sentinel_{each}": each for each in ("username", "password")}
    return BrokerAddress(
        redis_url=f"{scheme}://{login}{shown[0]}/{database}?{urlencode(tls_options)}",
        celery_url=";".join(f"sentinel://{login}{place}/{database}" for place in shown),
        tls=tls,
        shown=f"{parts.scheme}://{','.join(shown)}/{name}/{database}",
        database=database,
        user=user or "default",
        sentinels=Sentinels(
            places=places,
            name=name,
            options={names[key]: value for key, value in options.items() if key in names}
            | ({"ssl": True, **tls} if tls else {}),
        ),
    )


def _sentinel_place(text: str) -> tuple[str, int]:
    try:
        place = urlsplit(f"//{text}")
        host, port = place.hostname, place.port
    except ValueError:
        raise _unreadable() from None
    if not host:
        raise _unreadable()
    return host, port or DEFAULT_SENTINEL_PORT


def _unreadable() -> ServiceUnavailable:
    return _refused(f"its host or port cannot be read; {_USE}, and write special characters of a password as %xx")


def _tls(options: Mapping[str, str]) -> dict[str, object]:
    checks_hostname = options.get("ssl_check_hostname", "true").lower() not in _NO
    return {"ssl_cert_reqs": "required", **options, "ssl_check_hostname": checks_hostname}


def _login(user: str, password: str) -> str:
    if not user and not password:
        return ""
    return f"{quote(user, safe='')}:{quote(password, safe='')}@"


def _refused(what: str) -> ServiceUnavailable:
    return ServiceUnavailable("broker", f"REDIS_URL cannot be used: {what}")


_MEANINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("READONLY", "read only replica", "read-only replica"), "read-only replica"),
    (("No master found",), "no Sentinel names its primary; look at the name in the URL, and at the Sentinels"),
    (("MASTERDOWN", "Link with MASTER is down", "Link with PRIMARY is down"), "replica without its primary"),
    (("OOM ", "used memory > 'maxmemory'"), "out of memory; raise its maxmemory or remove what fills it"),
    (("MISCONF",), "it cannot write its snapshot and so refuses writes (MISCONF); look at its disk"),
    (("NOREPLICAS", "NOREPL"), "not enough replicas are connected"),
    (("LOADING", "loading the dataset"), "still loading its data"),
    (("BUSY ", "Busy running a script"), "busy with somebody's script"),
    (("NOAUTH", "Authentication required", "WRONGPASS", "invalid username-password"), "it refuses the password"),
    (("MOVED ", "CROSSSLOT", "CLUSTERDOWN"), "it is a Redis Cluster, which is not supported"),
    (("max number of clients reached",), "too many clients are connected to it"),
    (("unknown command",), "it lacks a command; Redis 6.2 or Valkey 7.2 at least are needed"),
    (
        ("Hostname mismatch", "IP address mismatch"),
        "its TLS certificate is for another host; use the name that is in it",
    ),
    (("certificate has expired",), "its TLS certificate has expired"),
    (("CERTIFICATE_VERIFY_FAILED",), "its TLS certificate is not trusted; name its authority with ssl_ca_certs"),
    (("WRONG_VERSION_NUMBER", "record layer failure"), "it does not speak TLS; use redis://"),
    (("Connection refused",), "the connection is refused"),
    (("No such file or directory",), "its socket does not exist"),
    (("Name or service not known", "name resolution"), "its host name is not found"),
    (("Timeout", "timed out"), "no answer in time"),
)
_NOT_PERMITTED = re.compile(r"no permissions to run the '(?P<command>[\w|-]+)'", re.IGNORECASE)


def reason_of(error: BaseException) -> str:
    """Why the broker does not serve, in a few words of ours: the server's own text may quote a message."""
    while not isinstance(error, RedisError) and (cause := error.__cause__ or error.__context__) is not None:
        error = cause  # kombu wraps what the server said
    text = str(error)
    if isinstance(error, NoPermissionError):
        denied = _NOT_PERMITTED.search(text)
        return f"its user may not run {denied['command'].upper()}" if denied else "its user lacks the right (ACL)"
    for marks, meaning in _MEANINGS:
        if any(mark in text for mark in marks):
            return meaning
    code = text.split(" ", 1)[0]
    if isinstance(error, ResponseError) and code.isupper() and code.isascii() and code.isalpha():
        return f"it answers {code}"
    return f"no answer ({type(error).__name__})"
