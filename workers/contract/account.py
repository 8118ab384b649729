"""What an account is called in the store: its provider, and before it the name that settings give it.

    api.openai.com            the account of OPENAI_API_KEY and OPENAI_BASE_URL
    course-b@api.openai.com   the account `course-b` of the file that GRADEQUEUE_ACCOUNTS names

The batch keeps this text as its `provider`, and queue, budget, park, limits and spend cap of a day go by it: a release
that knows no named accounts never asks for one's jobs, and passes its messages on. Standard library only.
"""

from __future__ import annotations

import re

DEFAULT_ACCOUNT = "default"
"""What a person calls the account without a name."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def is_account_name(name: str) -> bool:
    """Whether settings may call an account so."""
    return _NAME.fullmatch(name) is not None and name != DEFAULT_ACCOUNT


def account_of(name: str | None, provider: str) -> str:
    """`course-b` and `api.openai.com` give `course-b@api.openai.com`; without a name it is the provider alone."""
    return provider if name is None else f"{name}@{provider}"


def account_name(account: str) -> str | None:
    """The name in front; None for the account without one. A provider has none: its host holds no `@`."""
    name, at, _provider = account.partition("@")
    return name if at and is_account_name(name) else None


def account_provider(account: str) -> str:
    """The server behind the name: `course-b@api.openai.com` gives `api.openai.com`."""
    return account if account_name(account) is None else account.partition("@")[2]
