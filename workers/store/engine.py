"""Opening the store: SQLite by default, PostgreSQL in production, one set of rules for both.

Every statement runs in `Store.transaction()` or `Store.run()` (writes) or in `Store.snapshot()` (reads). A store that
is away raises `ServiceUnavailable("store", ...)`; the text never holds a statement's parameters, because those are
prompts. What one row's data causes (`DataError`, `IntegrityError`, `ValueError`) passes as it is.

Lock order, the same everywhere: batches, workers, jobs in id order, attempts, outcomes.
"""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine, create_engine, event, exc, text

from workers.contract.errors import ServiceUnavailable
from workers.store.bulk import enable_copies
from workers.store.identity import read_store_id
from workers.store.sqlite_engine import BEGIN_OPTION, sqlite_engine
from workers.store.url import store_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import URL, Connection

HEAD_REVISION = "0027_reading_order"
"""The schema this code works with; a test holds it equal to the newest migration."""
MOVING = "moving"
"""The revision of a copy that is not complete; see `moving`."""
CONNECT_SECONDS = 10
CONNECTIONS_KEPT = 2
MOST_CONNECTIONS = 10
"""Of one process to a server; who finds none waits."""
STATEMENT_SECONDS = 30
"""No statement of ours takes a second; one that does for so long meets a lock or a disk that hangs."""
IDLE_WRITING_SECONDS = 30
"""A process that was stopped inside a transaction must not hold its rows for ever."""
IDLE_READING_SECONDS = 600
"""It holds nobody up; who pages through results may take a while between two pages."""
MOST_TRIES = 5
"""A transaction that meets a deadlock so often in a row has found a fault of ours, not bad luck."""
CONTENTION_STATES = frozenset({"40001", "40P01"})
"""serialization_failure and deadlock_detected: nothing was written, the same transaction may run again."""
_READING: Mapping[str, str] = {
    "sqlite": "BEGIN",
    # one snapshot for all statements, so that counts read by several of them add up
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
}

_ADVICE: Mapping[str, str] = {
    "too many connections for": "raise this role's CONNECTION LIMIT, or put a pooler before the server",
    "too many clients already": "raise max_connections, or put a pooler before the server",
    "connection slots are reserved": "raise max_connections, or put a pooler before the server",
    "unsupported startup parameter": "poolers take no options in DATABASE_URL: ALTER ROLE ... SET says the same",
    "certificate verify failed": "name the authority that signed the server's certificate with sslrootcert=",
}
"""What to do, by a part of what the server or its driver says in English."""

_SET_LOCAL = text("SELECT set_config(:name, :value, true)")

T = TypeVar("T")


class StoreContention(ServiceUnavailable):
    """Two transactions met; this one wrote nothing and may run again. `Store.run` does so."""


class CommitUnknown(ServiceUnavailable):
    """The connection broke while a transaction was committed: what it wrote may be there, all of it or nothing."""


class Store:
    """The SQL store behind one URL. Threads may share it; processes open their own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str) -> Store:
        """Connect lazily; raises `ServiceUnavailable` when the URL cannot be used at all."""
        parsed = store_url(url)
        return cls(sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql_engine(parsed))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction: committed when the block ends, rolled back when it raises.

        Raises `CommitUnknown` when the answer to COMMIT was lost.
        """
        is_committing = False
        try:
            with self.engine.begin() as connection:
                yield connection
                is_committing = True
        except (exc.DBAPIError, exc.TimeoutError) as error:
            if _is_about_a_row(error):
                raise
            raise _away(error, is_committing=is_committing) from None

    def run(self, work: Callable[[Connection], T], *, lock_seconds: float | None = None) -> T:
        """What `work` returns, from a write transaction; a deadlock runs it again, so it must change nothing else.

        `lock_seconds`: a row that somebody else holds for longer raises `ServiceUnavailable` (PostgreSQL).
        """
        for tries_left in reversed(range(MOST_TRIES)):
            try:
                with self.transaction() as connection:
                    if lock_seconds is not None and not self.is_sqlite:
                        connection.execute(_SET_LOCAL, {"name": "lock_timeout", "value": f"{lock_seconds}s"})
                    return work(connection)
            except StoreContention:
                if not tries_left:
                    raise
                time.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - the two that met must not meet again
        raise AssertionError("unreachable")

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A read-only view, the same for every statement in it; never waits for a writer."""
        options: Any = {BEGIN_OPTION: _READING[self.engine.dialect.name]}
        with _translated(), self.engine.connect().execution_options(**options) as connection:
            yield connection

    @contextmanager
    def without_transaction(self) -> Iterator[Connection]:
        """For the few statements that want no transaction around them; PostgreSQL limits no time here."""
        with _translated(), self.engine.connect().execution_options(**{BEGIN_OPTION: ""}) as connection:
            yield connection

    def close(self) -> None:
        """Release every connection."""
        self.engine.dispose()

    @cached_property
    def id(self) -> str:
        """Stands in the names of this store's queues; to be read once the schema is there."""
        with self.snapshot() as connection:
            return read_store_id(connection)

    @property
    def is_sqlite(self) -> bool:
        """True for a file on this machine, which only processes of this machine can share."""
        return self.engine.dialect.name == "sqlite"

    def prepare(self) -> None:
        """Make sure of the schema at a process's start; cheap when it is the one that this version works with.

        A newer store is taken too, as long as migrations only added to it: workers of the release before may be
        restarted after an upgrade. An empty store is made, and a SQLite file, which no other host uses, is upgraded.
        A server's store is upgraded by `gradequeue upgrade` alone: when it is older, or has lost what this release
        needs, this raises `ServiceUnavailable`.
        """
        present = self.revision
        if present == MOVING:
            raise ServiceUnavailable(
                "store", "the store is a copy that is not complete; run the same `gradequeue migrate` again"
            )
        if present is not None and present > HEAD_REVISION and self._takes_this_release():
            return
        if present is None or self.is_sqlite or present > HEAD_REVISION:
            self.migrate()  # which names a newer store
            return
        if present == HEAD_REVISION:
            return
        raise ServiceUnavailable(
            "store",
            f"the store's tables are those of an earlier version ({present}; this one works with {HEAD_REVISION}); "
            "run `gradequeue upgrade` once, then start this again",
        )

    def migrate(self) -> None:
        """Bring the schema to `HEAD_REVISION`; cheap when it is there, safe when several processes start at once.

        Raises `ServiceUnavailable` when a newer version of this program made the store.
        """
        if self.revision == HEAD_REVISION and not self._has_rows_to_fill():
            return
        from workers.store.migrations import upgrade  # noqa: PLC0415 - Alembic costs 0.2 s, needed once

        upgrade(self)

    def _takes_this_release(self) -> bool:
        try:
            with self.snapshot() as connection:
                floor = connection.execute(text("SELECT works_from FROM store_identity")).scalar()
        except ServiceUnavailable:
            return False
        return floor is not None and floor <= HEAD_REVISION

    def _has_rows_to_fill(self) -> bool:
        with self.snapshot() as connection:
            found = connection.execute(text("SELECT EXISTS (SELECT 1 FROM backfills WHERE done_at IS NULL)"))
            return bool(found.scalar())

    @property
    def revision(self) -> str | None:
        """Of the schema that is there; None in an empty store."""
        try:
            with self.snapshot() as connection:
                return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except ServiceUnavailable:
            with self.snapshot() as connection:  # says whether the store is away, or only empty
                connection.execute(text("SELECT 1"))
            return None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:
        if _is_about_a_row(error):
            raise
        raise _away(error) from None


def _away(error: exc.SQLAlchemyError, *, is_committing: bool = False) -> ServiceUnavailable:
    state, reason = _sqlstate(error), f"the store does not answer: {_reason(error)}"
    if state in CONTENTION_STATES:
        return StoreContention("store", reason)
    if is_committing and isinstance(error, exc.OperationalError) and _breaks_connection(error):
        return CommitUnknown("store", f"{reason}; what was asked of it may be done: look before you ask again")
    return ServiceUnavailable("store", reason)


def _breaks_connection(error: exc.DBAPIError) -> bool:
    """No answer, or a goodbye, which a server also says after it committed and before it could answer."""
    state = _sqlstate(error)
    return error.connection_invalidated or (state or "").startswith(("08", "57P"))


def _is_about_a_row(error: exc.SQLAlchemyError) -> bool:
    """A value that cannot be stored, not a store that cannot store: a full disk must not spoil paid answers."""
    if getattr(error, "statement", None) is None:
        return False  # connecting or committing: there is no row yet
    if isinstance(error, exc.ProgrammingError):
        return _sqlstate(error) is None  # the driver, not the server, refused a value
    return isinstance(error, exc.DataError | exc.IntegrityError)


def _sqlstate(error: exc.SQLAlchemyError) -> str | None:
    state: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state


def _reason(error: exc.SQLAlchemyError) -> str:
    """The first line alone: PostgreSQL's second one may quote a row."""
    origin = getattr(error, "orig", None) or error
    line = (str(origin).strip().splitlines() or [type(origin).__name__])[0][:300]
    return next((f"{line}; {advice}" for part, advice in _ADVICE.items() if part in line), line)


def _postgresql_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,  # the server may have been restarted since
        # at rest a process keeps few: where a role may have five, two workers must not hold them all
        pool_size=CONNECTIONS_KEPT,
        max_overflow=MOST_CONNECTIONS - CONNECTIONS_KEPT,
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "gradequeue",
            # a peer that is gone without a word is noticed by the kernel
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": STATEMENT_SECONDS * 1000,
            # a statement prepared on one server connection is unknown, or another one, on that of the next transaction
            "prepare_threshold": None,
        },
    )

    enable_copies(engine)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.autocommit = True  # BEGIN is ours: see _begin

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Limits for this transaction alone: behind a pooler in transaction mode, the next one on this session is
        # somebody else's; and no start-up option, which poolers refuse. In one round trip with BEGIN.
        begin = connection.get_execution_options().get(BEGIN_OPTION, "BEGIN")
        if not begin:
            return
        idle_seconds = IDLE_READING_SECONDS if begin == _READING["postgresql"] else IDLE_WRITING_SECONDS
        connection.exec_driver_sql(
            f"{begin}; SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'; "
            f"SET LOCAL idle_in_transaction_session_timeout = '{idle_seconds}s'"
        )

    return engine
