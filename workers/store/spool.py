"""Paid answers on disk, when a worker must stop while the store stays away; the next worker that starts stores them.

One file per worker under `<data folder>/spool`, mode 0600: JSON lines of settlements, with answers, without prompts.
Its worker holds a lock on it while it lives, who takes it up holds one while it does; so a file is taken up once, by
one, and only when nobody writes to it. Taking it up twice after a crash would change nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from pydantic import RootModel
from sqlalchemy.exc import SQLAlchemyError

from workers.contract.outcome import AttemptEnding, Failure, FailureKind, Success, Usage
from workers.store.ledger import AttemptClosing, JobEnding
from workers.store.rows import LIST_LENGTH, lock_jobs
from workers.store.settlement import Settlement, apply_settlements, without_refused_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from workers.contract.outcome import Outcome
    from workers.store.engine import Store

logger = logging.getLogger(__name__)


class StoredAnswer(RootModel[object]):
    """An answer that was validated by its schema before it was spooled."""


class Spool:
    """Where one worker puts what it cannot store. The file appears with the first settlement."""

    def __init__(self, data_dir: Path, store: Store, *, worker_id: str) -> None:
        self._folder = spool_folder(data_dir, store)
        self._path = self._folder / f"{worker_id}.jsonl"
        self._file: IO[str] | None = None

    def keep(self, settlements: Sequence[Settlement]) -> int:
        """Write them down, on disk when this returns; returns how many. A release alone is not worth it."""
        kept = [each for each in settlements if each.closing or each.ending]
        if kept:
            file = self._opened()
            file.writelines(json.dumps(_as_json(each), ensure_ascii=True) + "\n" for each in kept)
            file.flush()
            os.fsync(file.fileno())
        return len(kept)

    def close(self) -> None:
        """Let others take the file up."""
        if self._file is not None:
            self._file.close()

    def _opened(self) -> IO[str]:
        while self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            file = os.fdopen(descriptor, "a", encoding="utf-8")
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                self._file = file
            else:  # a worker that starts has taken the empty file up before it was locked
                file.close()
        return self._file


def spool_folder(data_dir: Path, store: Store) -> Path:
    """A folder per store: answers must not end in another one because a URL was changed."""
    url = store.engine.url
    place = f"{url.get_backend_name()}:{url.host}:{url.port}:{url.database}"
    return data_dir.expanduser().absolute() / "spool" / hashlib.sha256(place.encode()).hexdigest()[:12]


def take_up(data_dir: Path, store: Store) -> int:
    """Store what stopped workers left behind; returns how many settlements. Raises `ServiceUnavailable`."""
    taken = 0
    for path in sorted(spool_folder(data_dir, store).glob("*.jsonl")):
        try:
            file = path.open("r", encoding="utf-8")
        except FileNotFoundError:  # somebody else was quicker
            continue
        with file:
            if _is_ours_alone(file, path):
                taken += _take_up_file(file, path, store)
    return taken


def _is_ours_alone(file: IO[str], path: Path) -> bool:
    """True when nobody writes or reads the file; the lock goes with the open file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return path.exists()  # who had the lock before us may have finished the file and removed it


def _take_up_file(file: IO[str], path: Path, store: Store) -> int:
    settlements = [settlement for line in file if (settlement := _read(line, path)) is not None]
    for start in range(0, len(settlements), LIST_LENGTH):
        _store(store, settlements[start : start + LIST_LENGTH])
    path.unlink()
    logger.warning("spool.taken_up file=%s settlements=%d", path.name, len(settlements))
    return len(settlements)


def _store(store: Store, settlements: Sequence[Settlement]) -> None:
    try:
        store.run(lambda connection: _apply(connection, settlements))
    except (SQLAlchemyError, ValueError, TypeError) as error:
        if len(settlements) > 1:
            for settlement in settlements:
                _store(store, [settlement])
            return
        storable = without_refused_text(settlements[0])
        logger.error("spool.row_refused error=%s", type(error).__name__)  # noqa: TRY400 - its text may quote a row
        if storable is not None:
            _store(store, [storable])


def _apply(connection: Connection, settlements: Sequence[Settlement]) -> None:
    locked = lock_jobs(connection, set().union(*(each.job_ids for each in settlements)))
    apply_settlements(connection, settlements, locked=locked)


def _as_json(settlement: Settlement) -> dict[str, object]:
    line: dict[str, object] = {}
    if settlement.closing is not None:
        closing = settlement.closing
        line["closing"] = {name: getattr(closing, name) for name in closing.__slots__ if name != "usage"}
        line["usage"] = asdict(closing.usage)
    if settlement.ending is not None:
        ending = settlement.ending
        line["ending"] = {name: getattr(ending, name) for name in ending.__slots__ if name != "outcome"}
        line["outcome"] = _outcome_as_json(ending.outcome)
    return line


def _outcome_as_json(outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Success):
        return {"result": outcome.value.model_dump(mode="json")}
    return {"failure": asdict(outcome)}


def _read(line: str, path: Path) -> Settlement | None:
    try:
        return _from_json(json.loads(line))
    except (ValueError, KeyError, TypeError):
        logger.error("spool.line_torn file=%s", path.name)  # noqa: TRY400 - its text quotes an answer
        return None


def _from_json(line: dict[str, Any]) -> Settlement:
    closing = ending = None
    if "closing" in line:
        fields = line["closing"] | {"ending": AttemptEnding(line["closing"]["ending"])}
        closing = AttemptClosing(**fields, usage=Usage(**line["usage"]))
    if "ending" in line:
        ending = JobEnding(**line["ending"], outcome=_outcome_from_json(line["outcome"]))
    return Settlement(closing=closing, ending=ending)


def _outcome_from_json(outcome: dict[str, Any]) -> Outcome:
    if "result" in outcome:
        return Success(StoredAnswer(outcome["result"]))
    failure = outcome["failure"]
    return Failure(
        **failure
        | {"kind": FailureKind(failure["kind"]), "validation_errors": tuple(failure.get("validation_errors") or ())}
    )
