"""What people outside are notified of: that a batch ended or stopped, an account waits, a night was skipped.

Names of batches, accounts and nightly entries, numbers, and reasons from closed lists: no work, id or name of a
student, and nothing that a provider wrote. Part of the contract: standard library only.
"""

from __future__ import annotations

import re
import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OPERATOR = "operator"
"""The target that means everybody `GRADEQUEUE_NOTIFY` names."""
MAILTO = "mailto"
LONGEST_TARGET = 1000
_ADDRESS = re.compile(r"[^\s@,;:<>()\[\]\\\"]+@[^\s@,;:<>()\[\]\\\"]+")
_WHY_STOPPED = {
    "spend_cap": "its spend cap is reached",
    "same_failure": "its first jobs all failed alike",
    "no_price": "the price of its model is unknown",
}
_WHY_SKIPPED = {
    "missed": "it could not run in time",
    "refused": "it was refused",
    "failed": "it failed",
    "passed_over": "batches that it selects were passed over",
}
MOST_NAMED = 20
"""Batches that one message names."""


class Happening(StrEnum):
    """What happened; the `type` of a webhook's body."""

    BATCH_ENDED = "batch.ended"
    BATCH_STOPPED = "batch.stopped"
    ACCOUNT_PARKED = "account.parked"
    DAY_CAP_REACHED = "account.day_cap_reached"
    NIGHT_SKIPPED = "nightly.skipped"
    TEST = "test"


def target_of(text: str) -> str:
    """A URL of http or https, `mailto:` with one address, or `operator`, as it was given. Raises `InvalidInput`."""
    text = text.strip()
    if text == OPERATOR:
        return text
    try:
        parts = urlsplit(text)
        named = parts.hostname is not None and parts.port != 0
    except ValueError:
        raise InvalidInput("is no URL") from None
    if not text.isprintable() or " " in text or len(text) > LONGEST_TARGET:
        raise InvalidInput(f"expects one line without blanks, of at most {LONGEST_TARGET} characters")
    if parts.scheme == MAILTO:
        if parts.query or not _ADDRESS.fullmatch(unquote(parts.path)):
            raise InvalidInput("expects one address, such as mailto:me@university.edu")
    elif parts.scheme not in {"http", "https"} or not named:
        raise InvalidInput("expects https://host/path or mailto:me@university.edu")
    elif parts.username is not None or parts.password is not None:
        raise InvalidInput(
            "a URL with a login would be kept with the batch; use a path that nobody guesses, or mailto:"
        )
    return text


def targets_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Each once, in order; an entry may hold several with commas between. Raises `InvalidInput`."""
    given = (part for text in texts for part in text.split(","))
    return tuple(dict.fromkeys(target_of(part) for part in given if part.strip()))


def address_of(target: str) -> str | None:
    """The address of a `mailto:`; None for a URL."""
    parts = urlsplit(target)
    return unquote(parts.path) if parts.scheme == MAILTO else None


def shown_target(target: str) -> str:
    """For a screen or a log: a URL's path and query may be its secret."""
    if target == OPERATOR:
        return "the operator"
    return target if address_of(target) else f"{urlsplit(target).scheme}://{urlsplit(target).hostname}/..."


def sentence(happening: str, content: Mapping[str, Any]) -> str:
    """One line for a person; `content` as the event was kept."""
    account, batch = content.get("account"), content.get("batch")
    match happening:
        case Happening.BATCH_ENDED:
            counts = f"{content.get('succeeded')} succeeded, {content.get('failed')} failed"
            standin = " (stand-in provider: these grades are not real)" if content.get("provider") == "standin" else ""
            return f"Batch {batch} has ended: {counts}{standin}."
        case Happening.BATCH_STOPPED:
            why = _WHY_STOPPED.get(str(content.get("reason")), "it was closed")
            return f"Batch {batch} has stopped: {why}. See: gradequeue status {shlex.quote(str(batch))}"
        case Happening.ACCOUNT_PARKED:
            return f"{account} is parked ({content.get('reason')}): its jobs wait{_named(content)}."
        case Happening.DAY_CAP_REACHED:
            return (
                f"The spend cap of {content.get('day')} (UTC) at {account} is reached: its jobs wait{_named(content)}."
            )
        case Happening.NIGHT_SKIPPED:
            why = _WHY_SKIPPED.get(str(content.get("reason")), "it was skipped")
            night = f"{content.get('entry')} of {content.get('night')}"
            return f"The nightly run {night}: {why}. See the log of `gradequeue beat`."
        case _:
            return "This is a test of gradequeue's notifications."


def _named(content: Mapping[str, Any]) -> str:
    named = content.get("batches") or []
    count = content.get("batch_count") or len(named)
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return f" ({', '.join(named)}{more})" if named else ""
