"""Which account a person means: by the name that settings give it, or as batches of the store name it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.contract.account import DEFAULT_ACCOUNT, account_name
from workers.contract.errors import InvalidInput
from workers.settings import STANDIN_PROVIDER, Settings, UnknownAccount
from workers.settings.serving import served_accounts, unserved_accounts
from workers.store.known_accounts import known_accounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection


def short_names(settings: Settings) -> dict[str, str]:
    """The name that a person types -> the account as batches name it."""
    return {name: settings.of_account(name).provider for name in (DEFAULT_ACCOUNT, *settings.named_accounts)}


def account_meant(connection: Connection, settings: Settings, name: str) -> str:
    """The account of this name, as batches name it. Raises `UnknownAccount`, which lists those that there are."""
    names = short_names(settings)
    if name in names:
        return names[name]
    known = {*names.values(), *known_accounts(connection), STANDIN_PROVIDER}
    if name in known:
        return name
    shown = ", ".join(sorted({*names, *known}))
    raise UnknownAccount(f"there is no account {name!r}; known here are {shown}")


def settings_of_batch(settings: Settings, provider: str) -> Settings:
    """The settings, speaking of a batch's account where they name it; else as they are."""
    name = account_name(provider)
    if settings.offline or name not in {None, *settings.named_accounts}:
        return settings
    found = settings.of_account(name)
    return found if found.provider == provider else settings


def refuse_without_key(settings: Settings) -> None:
    """Raise `InvalidInput` where the account that these settings speak of has no key here."""
    if settings.offline or settings.api_key is not None:
        return
    if (named := settings.named_account) is not None:
        raise InvalidInput(f"the account {named.name} has {named.key_line} (see {named.where})")
    raise InvalidInput(
        "OPENAI_API_KEY environment variable is not set; set it, or try --offline with the stand-in provider"
    )


def refuse_without_any_key(settings: Settings) -> None:
    """The same for a worker, which serves every account whose key is here."""
    if not settings.named_accounts or all(each.api_key is None for each in served_accounts(settings)):
        refuse_without_key(settings.of_account(None))


def why_not_served(settings: Settings, provider: str) -> str | None:
    """Why no worker with these settings serves the account, for a person; None when one would."""
    if settings.offline or provider in {each.provider for each in served_accounts(settings)}:
        return None
    missing: Mapping[str, str] = unserved_accounts(settings)
    name = account_name(provider) or DEFAULT_ACCOUNT
    if name in missing and settings.of_account(name).provider == provider:
        return f"the account {name} has {missing[name]}"
    return None


def served_lines(settings: Settings) -> Iterator[str]:
    """For `worker` and `serve`: the accounts beside the first, and those that are not served."""
    for name, missing in unserved_accounts(settings).items():
        yield f"account {name}: not served by this worker: {missing}"
