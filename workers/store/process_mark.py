"""Names of processes: another one on the same machine can see that the bearer of a name is gone."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

from workers.store.sql import new_id

_NAMESPACE = Path("/proc/self/ns/pid")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def process_mark() -> str:
    """A name for one piece of work of this process, new with each call; at most 64 characters."""
    return f"{_place()}.{os.getpid()}.{new_id()}"


def has_died(mark: str) -> bool:
    """True when the process that made it is surely gone: it ran here, and no process has its number."""
    place, _, rest = mark.partition(".")
    pid = rest.partition(".")[0]
    if place != _place() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it lives, as another user's
        return False
    return False


@cache
def _place() -> str:
    """The machine since it was booted, and the namespace in which process numbers mean something."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts += [str(_NAMESPACE.readlink()), _BOOT.read_text().strip()]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
