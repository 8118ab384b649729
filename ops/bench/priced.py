"""Worker processes, broker and store whose provider is a stand-in with prices: what money benchmarks run on.

The account's default tier costs twice the standard one: a request that asked for none would be seen on the invoice.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ops.bench.chaos.services import Broker, Cluster, Workers, cluster
from ops.bench.processes import REPOSITORY, Standin, standin
from producer.client import JobClient
from workers.settings import load_settings
from workers.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "gpt-6.1-terra"
PROFILE = {
    "takes_cache_breakpoint": True,
    "takes_cache_key": True,
    "takes_service_tier": True,
    "instructions_role": "developer",
    "price_input_usd_per_mtok": 1.0,
    "price_cached_input_usd_per_mtok": 0.05,
    "price_cache_write_usd_per_mtok": 1.25,
    "price_output_usd_per_mtok": 5.0,
}
"""What the bundled profile says of the model at its own provider; elsewhere nothing of it is taken for granted."""


@dataclass(slots=True)
class PricedScene:
    """Services and workers that all runs of a benchmark share."""

    provider: Standin
    broker: Broker
    workers: Workers
    client: JobClient
    store: Store
    store_server: Cluster | None

    @classmethod
    @contextmanager
    def opened(
        cls, count: int, *, latency_ms: str, with_postgresql: bool, concurrency: int = 20, **more_settings: str
    ) -> Iterator[Self]:
        """Everything running, `count` worker processes with it; all of it ended afterwards."""
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="gq-priced-", ignore_cleanup_errors=True))
            )
            profiles = folder / "profiles.json"
            profiles.write_text(json.dumps({"models": {MODEL: PROFILE}}))
            provider = stack.enter_context(standin("--latency-ms", latency_ms, "--project-tier", "priority"))
            broker = Broker()
            broker.start()
            stack.callback(broker.kill)
            server = stack.enter_context(cluster()) if with_postgresql else None
            settings = {
                "REDIS_URL": broker.url,
                "DATABASE_URL": server.url if server else f"sqlite:///{folder / 'store.db'}",
                "OPENAI_BASE_URL": provider.base_url,
                "OPENAI_API_KEY": "sk-standin",
                "GRADEQUEUE_MODEL_PROFILES": str(profiles),
                "GRADEQUEUE_HEARTBEAT": "0.5",
                "GRADEQUEUE_DEAD_AFTER": "4",
                "GRADEQUEUE_FEEDER_PERIOD": "0.2",
                "GRADEQUEUE_COUNTDOWN_GRACE": "2",
                "GRADEQUEUE_DATA_DIR": str(folder),
                **more_settings,
            }
            os.environ.update(settings)
            client = JobClient.connect(load_settings())
            stack.callback(client.close)
            store = Store.open(settings["DATABASE_URL"])
            stack.callback(store.close)
            environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
            workers = Workers(
                count=count, concurrency=concurrency, queue="bulk", environment=environment, log_dir=folder
            )
            workers.start()
            stack.callback(lambda: workers.stop(seconds=20))
            yield cls(provider, broker, workers, client, store, server)
