"""What the commands that write grades into files share: each file is in the audit log, under a name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.store import Store

_REVIEWER = "GRADEQUEUE_REVIEWER"

taken_by_option = click.option(
    "--by", envvar=_REVIEWER, help=f"Who takes the file, for the audit log [default: {_REVIEWER}, else the login name]."
)


def note_taken(store: Store, batches: Sequence[str], what: str, *, by: str | None = None) -> None:
    """Record it before the first line is written, so that no file leaves without a record.

    Raises `InvalidInput` for a batch that does not exist; then nothing is recorded.
    """
    from workers.store.decisions import note_download

    note_download(store, batches, by=taker(by), detail=what)


def taker(by: str | None = None) -> str:
    """The name under which a download is recorded; never empty."""
    from producer.cli.reviewing import reviewer

    return reviewer(by or os.environ.get(_REVIEWER)).strip() or "unknown"
