"""A server whose budget scripts run on a few dictionaries in this process: a drain of minutes asks some thousand times.

fakeredis serves everything else. It would run the scripts too, but spends ten times as long on packing, parsing
and converting what it says to itself. `tests/integration/test_budget.py` has them on a real server.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from fakeredis import FakeAsyncRedis
from lupa import lua51 as lupa  # as a server has it

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.unit.budget.conftest import Clock

_COMMAND = re.compile(r"redis\.call\(.(\w+)")


class ScriptedRedis(FakeAsyncRedis):
    """What scripts keep can be looked at, deleted and flushed; it never expires."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._hashes: dict[bytes, dict[bytes, bytes]] = {}
        self._lists: dict[bytes, list[bytes]] = {}
        self._lua = lupa.LuaRuntime(encoding=None)
        self._lua.globals()[b"redis"] = self._lua.table_from({b"call": self._call})

    def register_script(self, script: str) -> Callable[..., Awaitable[object]]:  # type: ignore[override]
        if not all(hasattr(self, f"_{command.lower()}") for command in _COMMAND.findall(script)):
            return super().register_script(script)  # type: ignore[return-value]
        run = self._lua.eval(f"function(KEYS, ARGV) {script}\nend".encode())

        async def execute(keys: Sequence[str], args: Sequence[object]) -> object:
            given = [self._lua.table_from([_as_bytes(each) for each in part]) for part in (keys, args)]
            return _as_reply(run(*given))

        return execute

    def _call(self, command: bytes, *arguments: Any) -> Any:
        answer = getattr(self, f"_{command.decode().lower()}")(*(_as_bytes(each) for each in arguments))
        return self._lua.table_from(answer) if isinstance(answer, list) else answer

    def _time(self) -> list[bytes]:
        seconds = int(self._clock.now)
        return [b"%d" % seconds, b"%d" % int((self._clock.now - seconds) * 1_000_000)]

    def _hgetall(self, key: bytes) -> list[bytes]:
        return [part for pair in self._hashes.get(key, {}).items() for part in pair]

    def _hset(self, key: bytes, *parts: bytes) -> int:
        self._hashes.setdefault(key, {}).update(zip(parts[::2], parts[1::2], strict=True))
        return len(parts) // 2

    def _hdel(self, key: bytes, field: bytes) -> int:
        return int(self._hashes.get(key, {}).pop(field, None) is not None)

    def _del(self, key: bytes) -> int:
        return int(self._hashes.pop(key, None) is not None) + int(self._lists.pop(key, None) is not None)

    def _rpush(self, key: bytes, *entries: bytes) -> int:
        self._lists.setdefault(key, []).extend(entries)
        return len(self._lists[key])

    def _lrange(self, key: bytes, _first: bytes, _last: bytes) -> list[bytes]:
        return list(self._lists.get(key, ()))

    def _lrem(self, key: bytes, _count: bytes, entry: bytes) -> int:
        self._lists[key].remove(entry)
        return 1

    def _expire(self, _key: bytes, _seconds: bytes) -> int:
        return 1

    async def hgetall(self, name: str) -> dict[bytes, bytes]:  # type: ignore[override]
        return dict(self._hashes.get(name.encode(), {}))

    async def hget(self, name: str, key: str) -> bytes | None:  # type: ignore[override]
        kept = self._hashes.get(name.encode())
        return kept.get(key.encode()) if kept is not None else await super().hget(name, key)

    async def keys(self, pattern: str = "*") -> list[bytes]:  # type: ignore[override]
        kept = {key for key, value in {**self._hashes, **self._lists}.items() if value}
        return [*await super().keys(pattern), *(key for key in kept if fnmatchcase(key.decode(), pattern))]

    async def delete(self, *names: str) -> int:  # type: ignore[override]
        return sum([self._del(name.encode()) for name in names]) + await super().delete(*names)

    async def flushall(self) -> None:  # type: ignore[override]
        self._hashes.clear()
        self._lists.clear()
        await super().flushall()


def _as_bytes(value: object) -> bytes:
    """As a client, or a script, hands it to the server."""
    if isinstance(value, bytes):
        return value
    return (b"%.17g" % value) if isinstance(value, float) else str(value).encode()


def _as_reply(value: Any) -> Any:
    """As the server hands a script's result back: a number loses its fraction."""
    if isinstance(value, float):
        return int(value)
    return [_as_reply(each) for each in value.values()] if lupa.lua_type(value) == "table" else value
