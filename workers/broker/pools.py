"""Pools of connections to the broker, for both of redis-py's kinds of client: bounded; a caller that finds none waits.

Through Sentinel, each new connection asks who the primary is; after a failover, the old ones end by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from redis import asyncio as redis_asyncio
from redis import sentinel
from redis.asyncio import sentinel as asyncio_sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.broker.address import BrokerAddress

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_ONE_SERVER = frozenset({"host", "port", "connection_class"})


class _SentinelPool(sentinel.SentinelConnectionPool, redis.BlockingConnectionPool):
    """redis-py's pool for Sentinel fails when its connections are all in use; this one waits."""


class _AsyncSentinelPool(asyncio_sentinel.SentinelConnectionPool, redis_asyncio.BlockingConnectionPool):
    """The same for asyncio."""


def connection_pool(broker_url: str, **options: Any) -> redis.BlockingConnectionPool:
    """`options` are those of redis-py's blocking pool and of its connections."""
    address = BrokerAddress.parse(broker_url)
    if address.sentinels is None:
        return redis.BlockingConnectionPool.from_url(address.redis_url, **options)
    new_sentinel: Any = sentinel.Sentinel  # redis-py gives these no types
    new_pool: Any = _SentinelPool
    retry = Retry(NoBackoff(), 0)  # the next one is asked instead, at once
    known = new_sentinel(address.sentinels.places, sentinel_kwargs=_of_sentinels(address, {**options, "retry": retry}))
    pool: redis.BlockingConnectionPool = new_pool(address.sentinels.name, known, **_of_server(address, options))
    return pool


def async_connection_pool(broker_url: str, **options: Any) -> redis_asyncio.BlockingConnectionPool:
    """The same for asyncio; connects on first use, on the loop that uses it."""
    address = BrokerAddress.parse(broker_url)
    if address.sentinels is None:
        return redis_asyncio.BlockingConnectionPool.from_url(address.redis_url, **options)
    new_sentinel: Any = asyncio_sentinel.Sentinel
    new_pool: Any = _AsyncSentinelPool
    retry = AsyncRetry(NoBackoff(), 0)
    known = new_sentinel(address.sentinels.places, sentinel_kwargs=_of_sentinels(address, {**options, "retry": retry}))
    pool: redis_asyncio.BlockingConnectionPool = new_pool(address.sentinels.name, known, **_of_server(address, options))
    return pool


def _of_sentinels(address: BrokerAddress, options: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in options.items() if name.startswith("socket_") or name == "retry"}
    return {**kept, **(address.sentinels.options if address.sentinels else {})}


def _of_server(address: BrokerAddress, options: Mapping[str, Any]) -> dict[str, Any]:
    read: Any = redis.connection.parse_url
    login_and_tls = {name: value for name, value in read(address.redis_url).items() if name not in _OF_ONE_SERVER}
    return {**login_and_tls, **options, "ssl": address.tls is not None}
