"""What running commands share: settings, services, store, client. Each is a context manager that cleans up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workers.contract.errors import InvalidInput
from workers.settings import Settings, load_settings, provider_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from producer.batch import Batch
    from producer.cli.enqueue_request import EnqueueRequest
    from producer.client import JobClient
    from producer.local.embedded import Services
    from workers.contract.schema_files.lookup import SchemaFinder
    from workers.store import Store


def settings_of(options: dict[str, Any], *, input_path: Path | None = None) -> Settings:
    """The settings, overridden by the command line; none of them read from the submissions.

    Raises `InvalidInput` when the data folder, with prompts, answers and logs, lies among them.
    """
    settings = load_settings(
        inputs=() if input_path is None else (input_path,),
        data_dir=options.get("data_dir"),
        offline=options.get("offline") or None,
        concurrency=options.get("concurrency"),
        account=options.get("account") or _account_of_kit(options.get("kit"), input_path),
    )
    if input_path is not None:
        from producer.inputs.apart import refuse_among_submissions
        from workers.settings.files import remember_input

        refuse_among_submissions(input_path, {"data-dir": settings.data_dir})
        remember_input(settings.data_dir, input_path)
    return settings


def _account_of_kit(kit: Path | None, input_path: Path | None) -> str | None:
    if kit is None:
        return None
    from producer.inputs.apart import refuse_among_submissions
    from producer.inputs.kits.kit import load_kit

    if input_path is not None:
        refuse_among_submissions(input_path, {"kit": kit})
    account = load_kit(kit).options.get("account")
    return None if account is None else str(account)


def moment_option(text: str | None, option: str = "--by") -> datetime | None:
    """The moment that an option names, in this machine's zone unless it brings one; None when it was not given."""
    if text is None:
        return None
    from producer.inputs.moments import moment_of

    try:
        return moment_of(text)
    except InvalidInput as error:
        raise InvalidInput(error.message, where=option) from None


def print_provider(settings: Settings) -> None:
    """Say which server gets the work, and whose key pays for it, before anything is sent."""
    from producer.terminal.console import err

    err.print(provider_line(settings), style="dim", markup=False, highlight=False, soft_wrap=True)


def print_accounts(settings: Settings) -> None:
    """Say which accounts the workers that start now serve, and which not."""
    from producer.local.accounts import served_lines
    from producer.terminal.console import err
    from workers.settings.serving import served_accounts

    for each in served_accounts(settings):
        print_provider(each)
    for line in served_lines(settings):
        err.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def print_notes(notes: Iterable[str]) -> None:
    """What the user should know and need not act on."""
    from producer.terminal.console import err

    for note in notes:
        err.print(f"note: {note}", style="yellow", markup=False, highlight=False)


def print_ending_models(batch: Batch, settings: Settings) -> None:
    """Say which models end soon that unfinished jobs of the batch ask; another provider's models are not known here."""
    from producer.inputs.ending_models import ending_notices
    from producer.local.accounts import settings_of_batch

    settings = settings_of_batch(settings, batch.overview().provider)
    if batch.overview().provider == settings.provider:
        print_notes(ending_notices(batch.models(unfinished_only=True), settings).values())


@contextmanager
def provided(settings: Settings, *, serves_all: bool = False) -> Iterator[Settings]:
    """Settings that point at a provider: a real account needs a key, the stand-in is started when none runs.

    `serves_all`: workers are started for whatever accounts have a key here, and one is enough.
    """
    if not settings.offline:
        from producer.local.accounts import refuse_without_any_key, refuse_without_key

        (refuse_without_any_key if serves_all else refuse_without_key)(settings)
        yield settings
        return
    from pydantic import SecretStr

    from producer.local.processes import STANDIN_KEY, StandinProcess

    started = None if settings.standin_url else StandinProcess.start()
    try:
        base_url = started.base_url if started else settings.standin_url
        yield settings.model_copy(
            update={
                "openai_base_url": base_url,
                "openai_api_key": SecretStr(STANDIN_KEY),  # a real key has no business there
                "standin_url": base_url,
            }
        )
    finally:
        if started is not None:
            started.stop()


@contextmanager
def joined_services(settings: Settings) -> Iterator[Services]:
    """Broker and store, embedded where no URL names them."""
    from producer.local.embedded import join_services

    services = join_services(settings)
    try:
        yield services
    finally:
        services.leave()


@contextmanager
def connected_client(
    settings: Settings, services: Services, *, schemas: SchemaFinder | None = None
) -> Iterator[JobClient]:
    """A client for these services; without `schemas` it looks for no schema file of the user's."""
    from producer.client import JobClient
    from workers.contract.schema_files.lookup import InstalledSchemas

    client = JobClient.connect(services.apply_to(settings), schemas=schemas or InstalledSchemas())
    try:
        yield client
    finally:
        client.close()


@contextmanager
def paid_like(batch: str, settings: Settings, services: Services, *, chosen: str | None) -> Iterator[Settings]:
    """The settings, speaking of the account that graded the batch, where nobody chose another and they know it."""
    from producer.local.accounts import settings_of_batch
    from workers.store.overviews import find_overview

    if chosen is None and settings.account is None and settings.named_accounts:
        with prepared_store(services.database_url) as store, store.snapshot() as connection:
            overview = find_overview(connection, batch)
        settings = settings if overview is None else settings_of_batch(settings, overview.provider)
    yield settings


def opened_request(input_path: Path, options: dict[str, Any]) -> tuple[Settings, EnqueueRequest]:
    """What `run` and `enqueue` were asked for, checked; says who will answer, and what the reader warns of."""
    from producer.cli.enqueue_request import checked_request

    settings = settings_of(options, input_path=input_path)
    request = checked_request(input_path, settings, options)
    print_provider(settings)
    print_notes(request.warnings)
    return settings, request


def joined_known_work(request: EnqueueRequest, client: JobClient) -> EnqueueRequest:
    """The request for the batch that holds most of its input, with a sentence that says so."""
    joined = request.joined(client)
    if joined is not request:
        print_notes(joined.warnings)
    return joined


@contextmanager
def opened_store(data_dir: Path | None) -> Iterator[Store]:
    """The store that is there already, for commands that need no broker: none is started for them."""
    with prepared_store(existing_store_url(data_dir)) as store:
        yield store


def existing_store_url(data_dir: Path | None) -> str:
    """Of the configured store, or of the embedded one where there is one; `InvalidInput` where there is none."""
    settings = load_settings(data_dir=data_dir)
    url = settings.database_url
    if url is None:
        from producer.local.data_folder import DataFolder

        folder = DataFolder.of(settings.data_dir)
        if folder.path.is_dir():
            folder.check()
        if not folder.store_file.exists():
            raise InvalidInput(
                f"there is no store in {folder.path}; start with `gradequeue run`, or name another --data-dir"
            )
        url = folder.store_url
    return url


@contextmanager
def prepared_store(url: str) -> Iterator[Store]:
    """The store behind this URL, with the schema that this version works with."""
    from workers.store import Store

    store = Store.open(url)
    try:
        store.prepare()
        yield store
    finally:
        store.close()
