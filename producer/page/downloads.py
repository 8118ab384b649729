"""Downloads of a batch; each is in the audit log."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from producer.page.services import client
from producer.page.tables import csv_file, jsonl_file
from producer.page.who import person
from producer.review.opening import review_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.batch import Batch


def show_downloads(batch: Batch) -> None:
    """One button per kind of file; the file is made when it is asked for."""
    for label, kind, made in (("CSV", "text/csv", csv_file), ("JSONL", "application/jsonl", jsonl_file)):
        st.download_button(
            label, partial(_noted, batch, label, made, person()), f"{batch.name}.{label.lower()}", kind,
            icon=":material/download:", on_click="ignore", key=label.lower(),
        )  # fmt: skip


def _noted(batch: Batch, label: str, made: Callable[[Batch], bytes], by: str) -> bytes:
    content = made(batch)
    review_of(client(), batch.name).note_download(label, by=by)
    return content
