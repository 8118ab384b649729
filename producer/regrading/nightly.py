"""One night of one entry: which batches it selects, and their regrades. `producer.regrading.beat` says when.

A night's key (entry, date it was due, batch) names the new batch: run twice it enqueues once, and an interrupted night
resumes. Only finished batches older than the night are regraded, never a regrade.

The night's date is in the key: every night pays for every selected batch again, until `newer_than_days` or `times` ends
it. The templates and rubrics that the entry names are read each night.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from producer.inputs.kits.kit import NO_KIT, load_kit
from producer.inputs.nightly_file import NightlyEntry
from producer.inputs.templates import Template
from producer.regrading.change import change_with
from producer.regrading.linked_name import linked_name
from producer.regrading.regrade import regrade
from producer.regrading.submission_of_prompt import SubmissionUnknown
from workers.contract.account import account_provider
from workers.contract.errors import InvalidInput
from workers.contract.job import QueueName
from workers.contract.notification import OPERATOR
from workers.contract.schemes.scheme import scheme_from_options
from workers.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime
    from pathlib import Path

    from producer.batch import BatchOverview
    from producer.client import JobClient
    from producer.inputs.nightly_file import NightlyEntry
    from producer.regrading.change import Change

logger = get_logger(__name__)

SECONDS_PER_DAY = 86_400.0


def change_of(entry: NightlyEntry, folder: Path) -> Change:
    """What the entry changes, with its template and rubric as their files are now."""
    return change_with(
        load_kit(folder / entry.kit) if entry.kit else NO_KIT,
        model=entry.model,
        template=Template.load(folder / entry.template) if entry.template else None,
        scheme=scheme_from_options(_beside(folder, entry.rubric), _beside(folder, entry.catalogue)),
        effort=entry.effort,
        verbosity=entry.verbosity,
    )


def with_account(entry: NightlyEntry, folder: Path) -> NightlyEntry:
    """The entry with the account of its kit, where it says none itself."""
    if entry.account is not None or entry.kit is None:
        return entry
    return entry.model_copy(update={"account": load_kit(folder / entry.kit).options.get("account")})


def _beside(folder: Path, option: str | None) -> str | None:
    return str(folder / option) if option else None


@dataclass(frozen=True, slots=True)
class NightReport:
    """What one night did, batch by batch."""

    enqueued: int
    """New jobs; 0 when the night had been run before."""
    batches: tuple[str, ...]
    """Names of the night's new batches, those of an earlier run included."""
    refused: tuple[str, ...]
    """Why a selected batch was skipped, one sentence each."""


def run_night(client: JobClient, entry: NightlyEntry, *, due: datetime, folder: Path) -> NightReport:
    """Regrade every batch the entry selects. Idempotent per (entry, day of `due`, batch), and resumable.

    A batch that cannot be regraded is reported and stops no other. Raises `ServiceUnavailable`: try again later.
    """
    change = change_of(entry, folder)
    enqueued, names, refused = 0, [], []
    for overview in selected(client.batches(at_most=None), entry, due=due, provider=client.provider):
        name = _night_name(overview.name, entry, due)
        try:
            report = regrade(
                client,
                overview.name,
                change,
                name=name,
                queue=QueueName.BULK,
                nightly=entry.name,
                by=entry.ends(due),
                price=entry.price,
                notify=[OPERATOR],
            )
        except SubmissionUnknown as problem:
            refused.append(f"{overview.name}: {problem.message}; regrade it by hand, with its submissions given again")
            continue
        except InvalidInput as problem:
            refused.append(f"{overview.name}: {problem}")
            continue
        enqueued += report.new
        names.append(name)
    return NightReport(enqueued, tuple(names), tuple(refused))


def night_of(due: datetime) -> date:
    """The day in the entry's own zone: the part of the key that distinguishes two nights."""
    return due.date()


def selected(
    overviews: Sequence[BatchOverview], entry: NightlyEntry, *, due: datetime, provider: str
) -> list[BatchOverview]:
    """The entry's batches, oldest first: finished, this account's, made before the night, and no regrades.

    An entry that names its account takes those of any account at the same server.

    With `times`, only those it has regraded less often; this night's own regrade does not count, so it can be resumed.
    """
    times = _times_before(overviews, entry, due)
    latest = due.timestamp()
    accounts = {provider, *_others_at(provider, overviews, entry)}
    earliest = latest - entry.newer_than_days * SECONDS_PER_DAY if entry.newer_than_days else 0.0
    return [
        overview
        for overview in reversed(overviews)
        if any(fnmatchcase(overview.name, pattern) for pattern in entry.batches)
        and overview.is_finished
        and overview.provider in accounts
        and overview.origin.regrade_of is None
        and earliest <= overview.created_at < latest
        and (entry.times is None or times[overview.name] < entry.times)
    ]


def _others_at(provider: str, overviews: Sequence[BatchOverview], entry: NightlyEntry) -> set[str]:
    if entry.account is None:
        return set()
    return {each.provider for each in overviews if account_provider(each.provider) == account_provider(provider)}


def _times_before(overviews: Sequence[BatchOverview], entry: NightlyEntry, due: datetime) -> Counter[str]:
    """Batch -> its regrades by this entry on other nights; a regrade without jobs has cost nothing."""
    regraded = (
        (str(each.origin.regrade_of), each)
        for each in overviews
        if each.origin.nightly == entry.name and each.total > 0
    )
    return Counter(old for old, each in regraded if each.name != _night_name(old, entry, due))


def _night_name(batch: str, entry: NightlyEntry, due: datetime) -> str:
    return linked_name(batch, f"{entry.name}-{night_of(due):%Y-%m-%d}")
