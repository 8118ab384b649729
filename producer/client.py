"""The producer's way in: check jobs, commit them to the store, publish what the window takes.

Imports the contract, the settings, the store and the publisher, and nothing else of ours: no worker code, no `openai`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING

from producer.batches import Batch
from producer.inputs.columns import WRITTEN_NUL
from workers.contract.errors import InvalidInput, ServiceUnavailable
from workers.contract.job import JobParameters, JobSpec, QueueName
from workers.contract.registry import SchemaRegistry, builtin_registry
from workers.publisher import Publisher
from workers.settings import Settings, load_settings
from workers.store import Store
from workers.store.batches import CHUNK, EnqueueReport, NewJob, add_jobs, find_batch, open_batch, save_context
from workers.store.feed import Feed
from workers.store.overview import list_overviews

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from workers.store.overview import BatchOverview

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to grade, when schema, model and parameters are the same for all of them.

    `metadata` comes back untouched with the outcome.
    """

    id: str
    prompt: str = field(repr=False)
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)


class JobClient:
    """Enqueues jobs and looks after batches. One per process is enough; threads may share it."""

    def __init__(self, *, store: Store, publisher: Publisher | None, registry: SchemaRegistry, provider: str) -> None:
        self.store = store
        self.registry = registry
        self.provider = provider
        self._publisher = publisher

    @classmethod
    def connect(cls, settings: Settings | None = None) -> JobClient:
        """A client for the services of these settings; brings the store's schema up to date.

        Raises `ServiceUnavailable` when the store is not configured or away. The broker is not needed to enqueue.
        """
        settings = settings or load_settings()
        if settings.database_url is None:
            raise ServiceUnavailable("store", "DATABASE_URL is not set")
        store = Store.open(settings.database_url)
        store.migrate()
        publisher = Publisher.connect(settings) if settings.redis_url else None
        return cls(store=store, publisher=publisher, registry=builtin_registry(), provider=settings.provider)

    def enqueue(
        self,
        specs: Iterable[JobSpec | Item],
        *,
        name: str,
        schema: str | None = None,
        model: str | None = None,
        queue: QueueName | str = QueueName.BULK,
        params: JobParameters | None = None,
        context: Mapping[str, object] | None = None,
        origin: Mapping[str, object] | None = None,
        on_chunk: Callable[[int, int], None] | None = None,
    ) -> EnqueueReport:
        """Commit the jobs to the batch `name`, then publish what the window takes. Sending twice changes nothing.

        `schema`, `model` and `params` are for `Item`s; a `JobSpec` brings its own.
        `context` is what a schema is built from beside its name (a rubric); `origin` is kept with a new batch.
        Raises `InvalidInput` (an unknown schema, a conflicting job, metadata that is no JSON) before the batch is
        opened; nothing at all is written when it concerns the first thousand jobs and the batch is new.
        """
        if not name or len(name) > MAX_NAME_LENGTH:
            raise InvalidInput(f"a batch name must have 1 to {MAX_NAME_LENGTH} characters")
        if queue not in list(QueueName):
            raise InvalidInput(f"there is no queue {str(queue)!r}; choose from {', '.join(QueueName)}")
        context_hash = self._keep(context)
        jobs = self._checked((_spec(spec, schema, model, params) for spec in specs), context, context_hash)
        first = list(islice(jobs, CHUNK))
        batch = open_batch(self.store, name=name, provider=self.provider, queue=str(queue), origin=origin)
        report = add_jobs(self.store, batch, chain(first, jobs), on_chunk=on_chunk)
        self._publish(Feed(batch.queue, batch.provider))
        return report

    def batch(self, name: str) -> Batch:
        """A look at one batch; it need not exist yet."""
        return Batch(self.store, name, publish=lambda: self._publish_batch(name))

    def batches(self, *, at_most: int | None = 200) -> list[BatchOverview]:
        """The newest batches, newest first; all of them with `at_most=None`."""
        with self.store.snapshot() as connection:
            return list_overviews(connection, at_most=at_most)

    def check_broker(self) -> None:
        """Raise `ServiceUnavailable` when no broker is configured or it does not answer. Enqueueing needs none."""
        if self._publisher is None:
            raise ServiceUnavailable("broker", "REDIS_URL is not set")
        self._publisher.ping()

    def close(self) -> None:
        """Release every connection."""
        if self._publisher is not None:
            self._publisher.close()
        self.store.close()

    def _keep(self, context: Mapping[str, object] | None) -> str | None:
        if context is None:
            return None
        canonical = json.dumps(context, sort_keys=True, separators=(",", ":"))
        context_hash = hashlib.sha256(canonical.encode()).hexdigest()
        save_context(self.store, context_hash=context_hash, content=context)
        return context_hash

    def _checked(
        self, specs: Iterable[JobSpec], context: Mapping[str, object] | None, context_hash: str | None
    ) -> Iterator[NewJob]:
        fingerprints: dict[str, tuple[str, str | None]] = {}
        for spec in specs:
            _check_metadata(spec)
            if spec.schema not in fingerprints:
                needed = context if context is not None and self.registry.needs_context(spec.schema) else None
                entry = self.registry.resolve(spec.schema, needed)
                fingerprints[spec.schema] = (entry.fingerprint, context_hash if needed is not None else None)
            fingerprint, used_context = fingerprints[spec.schema]
            yield NewJob(spec=spec, schema_fingerprint=fingerprint, context_hash=used_context)

    def _publish_batch(self, name: str) -> None:
        with self.store.snapshot() as connection:
            batch = find_batch(connection, name)
        self._publish(Feed(batch.queue, batch.provider))

    def _publish(self, feed: Feed) -> None:
        """So that a click does not wait for the feeder; when the broker is away, the feeder does it later."""
        if self._publisher is None:
            return
        try:
            if self._publisher.epoch() is not None:  # in a broker without one, a feeder will begin anew anyway
                self._publisher.publish_due(self.store, feed)
        except ServiceUnavailable as error:
            if error.service != "broker":
                raise
            logger.warning("enqueue.not_published reason=%s", error)


def _spec(spec: JobSpec | Item, schema: str | None, model: str | None, params: JobParameters | None) -> JobSpec:
    if isinstance(spec, JobSpec):
        return spec
    if schema is None or model is None:
        raise InvalidInput(f"item {spec.id!r} names neither schema nor model; give both to enqueue()")
    return JobSpec(
        id=spec.id,
        prompt=spec.prompt,
        schema=schema,
        model=model,
        parameters=params or JobParameters(),
        metadata=spec.metadata,
    )


def _check_metadata(spec: JobSpec) -> None:
    """Metadata comes back untouched, so it must be what JSON holds."""
    try:
        written = json.dumps(dict(spec.metadata), ensure_ascii=False, allow_nan=False).encode()
        is_kept = json.loads(written) == spec.metadata and not WRITTEN_NUL.search(written)
    except (TypeError, ValueError, RecursionError):
        is_kept = False
    if not is_kept:
        raise InvalidInput(
            f"metadata of {spec.id!r} would not come back as it is: only text keys, text, finite numbers, true, false, "
            "null, lists and objects are kept"
        )


MAX_NAME_LENGTH = 200
