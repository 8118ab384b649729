"""What loading settings, and asking them for an account, raises."""

from __future__ import annotations


class SettingsError(Exception):
    """A setting has a value that cannot be used. The message names the setting, never its value."""


class UnknownAccount(SettingsError):  # noqa: N818 - reads as what happened, as in `workers.contract.errors`
    """No account has this name; the message lists those that there are."""
