"""What a worker does on its broker, each thing really tried: for `doctor` before a run, and for workers that wait.

Every probe uses keys and channels of the names that workers use, so that a user whose rights (ACL) do not reach is
found out. What a probe writes, it removes; its keys expire by themselves.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError, RedisError

from workers.broker.address import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

PROBE_SECONDS = 60
CONTROL_CHANNEL = "celery.pidbox"
"""The exchange by which Celery's workers are asked things; kombu subscribes to it by pattern."""
EVENTS_CHANNEL = "celeryev/worker.online"
_SCRIPT = "redis.call('TIME') redis.call('HSET', KEYS[1], 'a', 1) return redis.call('HGETALL', KEYS[1])"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that the broker does not let a worker do."""

    what: str
    reason: str
    grant: str
    """Rules for `ACL SETUSER`; empty where rights are not the reason."""

    def sentence(self, user: str) -> str:
        """What is wrong and what to do."""
        if not self.grant:
            return f"{self.what}: {self.reason}"
        return f"{self.what}: {self.reason}; grant it with: ACL SETUSER {user} {self.grant}"


@dataclass(frozen=True, slots=True)
class _Probe:
    client: Redis
    prefix: str
    database: int
    key: str

    def channel(self, name: str) -> str:
        return f"{self.prefix}/{self.database}.{name}"


@dataclass(frozen=True, slots=True)
class _Need:
    what: str
    commands: str
    try_it: Callable[[_Probe], object]
    channel: str = ""

    def grant(self, probe: _Probe) -> str:
        place = f"&{probe.channel(self.channel)}" if self.channel else f"~{probe.prefix}*"
        return f"{self.commands} {place}"


def _write(probe: _Probe) -> None:
    probe.client.set(probe.key, "1", nx=True, ex=PROBE_SECONDS)
    probe.client.get(probe.key)
    probe.client.delete(probe.key)


def _move(probe: _Probe) -> None:
    """A message through a queue: pushed, taken by a blocking pop."""
    probe.client.lpush(probe.key, "1", "2")
    probe.client.expire(probe.key, PROBE_SECONDS)
    probe.client.llen(probe.key)
    probe.client.brpop([probe.key], timeout=1)
    probe.client.rpop(probe.key, 1)


def _acknowledge(probe: _Probe) -> None:
    def restore(pipe: Any) -> None:
        pipe.hget(probe.key, "a")
        pipe.multi()
        pipe.hdel(probe.key, "a")

    with probe.client.pipeline() as pipe:
        pipe.hset(probe.key, "a", "1")
        pipe.expire(probe.key, PROBE_SECONDS)
        pipe.execute()
    probe.client.transaction(restore, probe.key)
    probe.client.delete(probe.key)
    with probe.client.pipeline() as pipe:
        pipe.zadd(probe.key, {"a": 1.0})
        pipe.zrange(probe.key, 2, 0, desc=True, byscore=True, offset=0, num=1)
        pipe.zrem(probe.key, "a")
        pipe.execute()


def _bind(probe: _Probe) -> None:
    probe.client.sadd(probe.key, "a")
    probe.client.smembers(probe.key)
    probe.client.srem(probe.key, "a")


def _run_script(probe: _Probe) -> None:
    probe.client.register_script(_SCRIPT)(keys=[probe.key])
    probe.client.hvals(probe.key)
    probe.client.time()
    probe.client.delete(probe.key)


def _subscribe(probe: _Probe) -> None:
    pubsub: Any = probe.client.pubsub  # redis-py gives it no types
    with pubsub() as subscription:
        subscription.psubscribe(probe.channel(CONTROL_CHANNEL))
        subscription.parse_response(block=False, timeout=5)
        subscription.punsubscribe()


def _publish(probe: _Probe) -> None:
    probe.client.publish(probe.channel(EVENTS_CHANNEL), "")  # without data: nobody takes it for an event


NEEDS = (
    _Need("write a key", "+set +get +del", _write),
    _Need("move a message", "+lpush +llen +brpop +rpop +expire", _move),
    _Need(
        "acknowledge a message",
        "+multi +exec +watch +unwatch +hset +hget +hdel +zadd +zrange +zrem +del +expire",
        _acknowledge,
    ),
    _Need("bind a queue", "+sadd +srem +smembers", _bind),
    _Need(
        "run a script",
        "+evalsha +script|load +script|exists +time +hgetall +hvals +hset +hdel +expire +del +rpush +lrange +lrem "
        "+zadd +zrangebyscore",
        _run_script,
    ),
    _Need("subscribe by pattern", "+psubscribe +punsubscribe", _subscribe, channel=CONTROL_CHANNEL),
    _Need("publish an event", "+publish", _publish, channel="*"),
)


def refusals(client: Redis, *, prefix: str, database: int) -> Iterator[Refusal]:
    """Everything that this user may not do here, in order; nothing when a worker can work.

    What is no question of rights (no answer, a replica that may not be written) is yielded once and ends the list.
    """
    for need in NEEDS:
        probe = _Probe(client, prefix, database, f"{prefix}probe:{uuid.uuid4().hex}")
        try:
            need.try_it(probe)
        except NoPermissionError as error:
            with suppress(RedisError, OSError):
                client.delete(probe.key)  # what the commands before the refused one left
            yield Refusal(need.what, reason_of(error), need.grant(probe))
        except (RedisError, OSError) as error:
            yield Refusal(need.what, reason_of(error), "")
            return


def why_waiting(client: Redis, *, prefix: str, database: int, user: str) -> str | None:
    """Why a worker cannot work with this broker now, None when it can."""
    refusal = next(refusals(client, prefix=prefix, database=database), None)
    if refusal is None:
        return None
    return refusal.sentence(user) if refusal.grant else refusal.reason
