"""The rubric as a table that a person edits: one row per level; a saved copy goes into a course kit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from producer.inputs.rubric_rows import (
    EXAMPLE_ROWS,
    HIGHEST,
    LOWEST,
    ROW_COLUMNS,
    is_example,
    rows_of_rubric,
    rubric_file,
    rubric_of_rows,
)
from producer.page.plain_text import plain

if TYPE_CHECKING:
    from workers.contract.schemes.rubric import Rubric


def edited(rubric: Rubric | None, *, key: str) -> Rubric:
    """The rubric as it was changed here; without one, written here from an example.

    `key` tells apart what is edited. Raises `InvalidInput` while the table says no rubric.
    """
    title = st.text_input("Title", value=rubric.title if rubric else "Rubric", key=f"title {key}")
    written = st.data_editor(
        rows_of_rubric(rubric) if rubric else [dict(row) for row in EXAMPLE_ROWS],
        num_rows="dynamic",
        hide_index=True,
        column_order=ROW_COLUMNS,
        column_config={
            LOWEST: st.column_config.NumberColumn(min_value=0.0, help="Points of the level; with 'To', its lowest."),
            HIGHEST: st.column_config.NumberColumn(min_value=0.0, help="Its highest points; blank: one number."),
        },
        key=f"rows {key}",
    )
    st.caption("One row for each level. A row with an empty Criterion is one more level of the criterion above it.")
    made = rubric_of_rows(written, title=title or "", base=rubric)
    if rubric is None and is_example(made):
        st.warning("This is the unchanged example: adapt it to what your assignment asks before you grade with it.")
    if counting := [criterion.name for criterion in made.enabled_criteria if criterion.counts_errors]:
        st.caption(plain(f"Counted by errors, and changed in the file alone: {', '.join(counting)}"))
    st.caption(f"{made.max_points:g} points at most")
    st.download_button(
        "Save as rubric.json", rubric_file(made), "rubric.json", "application/json", key=f"save {key}",
        on_click="ignore", help="For a course kit, or to be uploaded again.",
    )  # fmt: skip
    return made
