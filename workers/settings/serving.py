"""Which accounts a worker with these settings serves: every one whose key it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.contract.account import DEFAULT_ACCOUNT, account_provider

if TYPE_CHECKING:
    from workers.settings.declaration import Settings

NO_DEFAULT_KEY = "no key: OPENAI_API_KEY is not set"


def served_accounts(settings: Settings) -> list[Settings]:
    """The settings of each account that is served, the one without a name first; never empty.

    Where no account is named, that one is served without a key too: the provider's refusal parks it, in its own words.
    """
    if settings.offline or not settings.named_accounts:
        return [settings.of_account(None)]
    default = settings.of_account(None)
    named = [settings.of_account(name) for name, account in settings.named_accounts.items() if account.key is not None]
    return [*([default] if _has_default(settings) or not named else []), *named]


def unserved_accounts(settings: Settings) -> dict[str, str]:
    """Name -> what is missing, of those that settings name and no worker with these settings serves."""
    if settings.offline or not settings.named_accounts:
        return {}
    missing = {name: each.key_line for name, each in settings.named_accounts.items() if each.key is None}
    return missing if _has_default(settings) else {DEFAULT_ACCOUNT: NO_DEFAULT_KEY, **missing}


def account_caps(settings: Settings) -> tuple[dict[str, float | None], float | None]:
    """Account that is served -> its spend cap of a day, US dollars; then the cap of all of them together.

    None is no cap. One account alone needs no second cap.
    """
    served = served_accounts(settings)
    total = settings.max_usd_per_day if len(served) > 1 else None
    return {each.provider: each.day_cap_usd for each in served}, total


def same_accounts(settings: Settings) -> list[tuple[str, str]]:
    """Pairs of names that have one key at one server, and so one limit, which both would spend."""
    seen: dict[tuple[str, str], str] = {}
    pairs = []
    for each in served_accounts(settings):
        if each.api_key is None or each.offline:
            continue
        name = each.account or DEFAULT_ACCOUNT
        first = seen.setdefault((each.api_key.get_secret_value(), account_provider(each.provider)), name)
        if first != name and (each.named_account is None or each.named_account.needs_key):
            pairs.append((first, name))
    return pairs


def _has_default(settings: Settings) -> bool:
    """A server of one's own may want no key."""
    return settings.openai_api_key is not None or settings.openai_base_url is not None
