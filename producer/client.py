"""The producer's way in: check jobs, commit them to the store, publish what the window takes.

Imports the contract, the settings, the store and the publisher, and nothing else of ours: no worker code, no `openai`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from producer.batch import Batch
from producer.inputs.api_item import Item, spec_of
from producer.inputs.batch_name import MAX_NAME_LENGTH, check_batch_name
from producer.inputs.fence_of_batch import fence_of, refuse_another_fence
from producer.inputs.kept_metadata import check_metadata
from producer.inputs.kept_texts import KeptTexts
from producer.inputs.lateness import UNKNOWN_LIMITS, UsualLimits, with_moment, with_outlooks
from producer.inputs.moments import check_moment
from producer.inputs.names_of_batch import NameSearch
from producer.inputs.prices import PriceCheck
from workers.contract.errors import InvalidInput, ServiceUnavailable
from workers.contract.job import JobParameters, JobSpec, QueueName
from workers.contract.lane_choice import PriceWish, price_wish
from workers.contract.model_parameters import ChoiceCheck
from workers.contract.model_profile import load_profiles, profile_of
from workers.contract.notification import targets_of
from workers.contract.origin import BatchOrigin
from workers.contract.registry import SchemaRegistry, builtin_registry
from workers.contract.schema_files.lookup import LocalSchemas
from workers.contract.schema_files.trust import SchemaTrust
from workers.contract.twins import TwinRule
from workers.log import get_logger
from workers.settings import Settings, load_settings
from workers.store import Store
from workers.store.day_caps import DayCaps, raise_days
from workers.store.enqueue import CHUNK, EnqueueReport, NewJob, add_jobs, open_batch
from workers.store.feed import Feed
from workers.store.gates import GateRequest
from workers.store.outbox import note_night
from workers.store.overviews import (
    EVERY_BATCH,
    find_batch,
    find_overview,
    list_overviews,
    page_of_overviews,
    read_origin,
)
from workers.store.pilots import choose_pilot
from workers.store.results import read_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from producer.inputs.estimate import Estimate
    from workers.contract.identity import IdentityRule
    from workers.contract.model_profile import ModelProfile
    from workers.contract.schema_files.lookup import SchemaFinder
    from workers.contract.schemes.fence import Fence
    from workers.publisher import Publisher
    from workers.store.overviews import BatchChoice, BatchOverview
    from workers.store.pages import Page, Place

__all__ = ["MAX_NAME_LENGTH", "EnqueueReport", "Item", "JobClient"]

logger = get_logger(__name__)


class JobClient:
    """Enqueues jobs and looks after batches. One per process is enough; threads may share it."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher | None,
        registry: SchemaRegistry,
        provider: str,
        trust: SchemaTrust | None = None,
        profile_of: Callable[[str], ModelProfile] = profile_of,
        day_cap_usd: float | None = None,
        limits: UsualLimits = UNKNOWN_LIMITS,
        names: NameSearch | None = None,
    ) -> None:
        """`names` hold for every `enqueue` that says nothing of its own.

        `trust` records the schema files that this program names, so that this host's workers may run them.

        `profile_of` knows which efforts a model takes, and the prices, without which no job goes into a batch with a
        spend cap, nor into any batch where workers keep one per day. `limits` are asked for what would be late.
        """
        self.store = store
        self.registry = registry
        self.provider = provider
        self._publisher = publisher
        self._texts = KeptTexts(store, trust)
        self._prices = PriceCheck(profile_of, provider)
        self._choices = ChoiceCheck(profile_of)
        self._day_cap_usd = day_cap_usd
        self._limits = limits
        self._names = names or NameSearch()

    @classmethod
    def connect(
        cls,
        settings: Settings | None = None,
        *,
        schemas: SchemaFinder | None = None,
        identity: IdentityRule | str | None = None,
        roster: Path | None = None,
    ) -> JobClient:
        """A client for the services of these settings; makes the tables of an empty store.

        `identity` and `roster` are as in `enqueue`, and hold where it gives none. `schemas` finds users' own schemas
        [default: by file, among what is installed, then in the working folder].

        Raises `ServiceUnavailable` when the store is not configured, away or waits for `gradequeue upgrade`. The
        broker is not needed to enqueue.
        """
        settings = settings or load_settings()
        if settings.database_url is None:
            raise ServiceUnavailable("store", "DATABASE_URL is not set")
        store = Store.open(settings.database_url)
        try:
            store.prepare()
        except ServiceUnavailable:
            store.close()
            raise
        trust = SchemaTrust(settings.data_dir, settings.trusted_schemas)
        registry = builtin_registry(finder=schemas or LocalSchemas(Path.cwd()), trusts=trust.allows)
        profiles, host = load_profiles(settings.model_profiles), settings.provider_host
        return cls(
            store=store,
            publisher=_publisher(settings),
            registry=registry,
            provider=settings.provider,
            trust=trust,
            profile_of=lambda model: profiles.find(model, host),
            day_cap_usd=settings.day_cap_usd,
            limits=UsualLimits.of(*settings.minute_limits),
            names=NameSearch(identity=identity, roster=roster),
        )

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
        origin: BatchOrigin | Mapping[str, object] | None = None,
        twins: bool = True,
        identity: IdentityRule | str | None = None,
        roster: Path | None = None,
        names_are_searched: bool = False,
        on_chunk: Callable[[int, int], None] | None = None,
        pilot: int | None = None,
        max_cost_usd: float | None = None,
        weight: float | None = None,
        by: datetime | None = None,
        price: PriceWish | str | None = None,
        notify: Iterable[str] = (),
        renews: bool = False,
        starts_carefully: bool = True,
    ) -> EnqueueReport:
        """Commit the jobs to the batch `name`, then publish what the window takes. Sending twice changes nothing.

        `schema`, `model` and `params` are for `Item`s; a `JobSpec` brings its own.
        `context` is what a schema is built from beside its name (a rubric). `origin` is kept with a new batch: a
        `BatchOrigin`, or a mapping ready for JSON whose keys are read as its fields where they have their names.
        With `twins`, jobs of the batch that have the same work under the same instructions are graded once.
        `identity` (`warn`, `replace` or `refuse`) has each prompt searched for everybody of these items, of the batch
        and of `roster`, a CSV, with all prompts in memory. None: as for the client, else as the batch was begun,
        else by `warn` where there is a roster. With `names_are_searched` that was done already.
        `pilot`: only so many jobs start, spread over the input, until `Batch.resume` lets the rest go.
        With `renews` a job that exists with other work begins another round with it; its earlier outcomes are kept.
        With `starts_carefully`, three jobs of a new batch run until one succeeds, and three that fail alike close it.
        `max_cost_usd` caps what the batch may cost; then its jobs wait.
        `by`: an aware moment after which none of the jobs starts, those that exist and have not ended too; the report's
        `outlooks` say what will be late. `weight`: its share of the queue against 1 of other batches.
        `price` (`lowest`, `balanced`, `live`): new jobs may wait for a cheaper lane. None leaves these as they are.
        `notify`: who is notified, beside those named before, when it ends or stops: `https://...` or `mailto:...`.
        Raises `InvalidInput` (an unknown schema, a conflicting job, metadata that is no JSON, a model without a price
        under a cap) before the batch is opened; nothing is written when it concerns a new batch's first thousand jobs.
        """
        check_batch_name(name)
        if queue not in list(QueueName):
            raise InvalidInput(f"there is no queue {str(queue)!r}; choose from {', '.join(QueueName)}")
        if by is not None:
            check_moment(by)
        context_hash = self._texts.keep(context)
        gate = GateRequest(
            pilot_jobs=pilot,
            max_usd=max_cost_usd,
            weight=weight,
            price=price_wish(price),
            notify=targets_of(notify),
            starts_carefully=starts_carefully,
        )
        kept = origin if isinstance(origin, BatchOrigin) else BatchOrigin.from_json(origin or {})
        made: Iterable[JobSpec] = (spec_of(each, schema=schema, model=model, parameters=params) for each in specs)
        if not names_are_searched:
            made, kept = self._names.of_batch(self.store, name, made, kept, identity=identity, roster=roster)
        priced = self._priced(made if by is None else with_moment(made, by), name, gate)
        checked = map(self._texts.with_instructions(), self._checked(priced, context, context_hash))
        kept = kept if twins else replace(kept, twins=str(TwinRule.OFF))
        jobs = checked if kept.twins == TwinRule.OFF else map(NewJob.with_twin_key, checked)
        first = list(islice(jobs, CHUNK))
        batch = open_batch(self.store, name=name, provider=self.provider, queue=str(queue), origin=kept, gate=gate)
        refuse_another_fence(self.store, batch.name, kept)
        report = add_jobs(self.store, batch, chain(first, jobs), on_chunk=on_chunk, renews=renews, gate=gate)
        if pilot is not None:
            self.store.run(lambda connection: choose_pilot(connection, batch.id, pilot))
        self._publish(Feed(batch.queue, batch.provider))
        return report if by is None else with_outlooks(report, self.store, by, limits=self._limits)

    def estimate(self, specs: Iterable[JobSpec], *, context: Mapping[str, object] | None = None) -> list[Estimate]:
        """What these jobs would cost as one batch, by schema and model; `context` as for `enqueue`."""
        from producer.inputs.estimate import estimate_jobs  # noqa: PLC0415 - who enqueues need not load it

        given = list(specs)
        entries = {
            name: self.registry.resolve(
                name, context if context is not None and self.registry.takes(name, context) else None
            )
            for name in {spec.schema for spec in given}
        }
        return estimate_jobs(
            given, entries=entries, store=self.store, provider=self.provider, profile_of=self._prices.profile_of
        )

    def fence(self, name: str) -> Fence:
        """The fence of this batch; a new one while there is no such batch, to be kept in its origin.

        The same command makes the same prompts again only with the batch's own fence. `InvalidInput` for a batch that
        was made without one.
        """
        return fence_of(self.store, name)

    def origin(self, name: str) -> BatchOrigin | None:
        """What was kept with the batch when it was begun; None while there is no such batch."""
        with self.store.snapshot() as connection:
            return read_origin(connection, name)

    def batch(self, name: str) -> Batch:
        """A look at one batch; it need not exist yet."""
        return Batch(self.store, name, publish=lambda: self._publish_batch(name), prices=self._prices)

    def batches(self, *, at_most: int | None = 200) -> list[BatchOverview]:
        """The newest batches, newest first; all with `at_most=None`."""
        with self.store.snapshot() as connection:
            return list_overviews(connection, at_most=at_most)

    def page_of_batches(
        self, *, at: Place | None = None, at_most: int = 20, choice: BatchChoice = EVERY_BATCH
    ) -> Page[BatchOverview]:
        """One page of the batches under this choice; `at` is `previous` or `next` of another page."""
        with self.store.snapshot() as connection:
            return page_of_overviews(connection, at=at, at_most=at_most, choice=choice)

    def find_batch(self, name: str) -> BatchOverview | None:
        """The batch of this name, or None."""
        with self.store.snapshot() as connection:
            return find_overview(connection, name)

    def context(self, context_hash: str) -> Mapping[str, object] | None:
        """The rubric or catalogue that jobs were enqueued with, by the hash they carry; None when it is unknown."""
        with self.store.snapshot() as connection:
            return read_context(connection, context_hash)

    def check_broker(self) -> None:
        """Raise `ServiceUnavailable` when no broker is configured or it does not answer. Enqueueing needs none."""
        if self._publisher is None:
            raise ServiceUnavailable("broker", "REDIS_URL is not set")
        self._publisher.ping()

    def why_broker_waits(self) -> str | None:
        """Why workers cannot work with the broker now; None when they can, or when no broker is configured."""
        return self._publisher.why_waiting() if self._publisher is not None else None

    def close(self) -> None:
        """Release every connection."""
        if self._publisher is not None:
            self._publisher.close()
        self.store.close()

    def note_night(self, *, entry: str, night: str, reason: str) -> None:
        """Notify the operator that a nightly run did not happen as it should; workers send it."""
        self.store.run(lambda connection: note_night(connection, entry=entry, night=night, reason=reason))

    def raise_day_cap(self) -> None:
        """Open a day that a lower cap than this client's closed, as a worker that starts does."""
        self.store.run(partial(raise_days, caps=DayCaps(by_account={self.provider: self._day_cap_usd})))

    def _priced(self, specs: Iterable[JobSpec], name: str, gate: GateRequest) -> Iterator[JobSpec]:
        """The specs; where a spend cap is kept, each is asked for its price."""
        is_capped = bool(self._day_cap_usd) or bool(gate.max_usd) or self.batch(name).gate().max_usd is not None
        for spec in specs:
            if is_capped:
                self._prices.check(spec)
            yield spec

    def _checked(
        self, specs: Iterable[JobSpec], context: Mapping[str, object] | None, context_hash: str | None
    ) -> Iterator[NewJob]:
        fingerprints: dict[str, tuple[str, str | None]] = {}
        for spec in specs:
            check_metadata(spec)
            self._choices.check(spec)
            if spec.schema not in fingerprints:
                needed = context if context is not None and self.registry.takes(spec.schema, context) else None
                entry = self.registry.resolve(spec.schema, needed)
                kept = self._texts.keep_source(entry) if entry.source is not None else None
                fingerprints[spec.schema] = (entry.fingerprint, kept or (context_hash if needed is not None else None))
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
            # in a broker without an epoch, a feeder will republish everything anyway
            if self._publisher.epoch(self.store) is not None:
                self._publisher.publish_due(self.store, feed)
        except ServiceUnavailable as error:
            if error.service != "broker":
                raise
            logger.warning("enqueue.not_published", reason=error)


def _publisher(settings: Settings) -> Publisher | None:
    if not settings.redis_url:
        return None
    from workers.publisher import Publisher  # noqa: PLC0415 - Celery costs more than all the rest, a broker-less use needs none

    return Publisher.connect(settings)
