"""How an upload was understood, before anything is graded: who handed in, where from, how much, and who is left out."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from producer.inputs.courses.roster import known_as
from producer.inputs.work_columns import work_columns
from producer.page.plain_text import plain
from producer.page.style import show_work
from producer.page.uploads import WITH_A_MODEL_THAT_SEES
from producer.terminal.words import counted
from workers.contract.pictures import prompt_parts

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from producer.inputs.item import InputItem
    from producer.page.first_look import FirstLook
    from producer.page.uploads import Upload
    from workers.contract.job import JobSpec

MOST_ROWS = 300
"""A browser shows more slowly than a list is read."""


def show_understood(upload: Upload) -> None:
    """One line of counts, and the students one by one."""
    left_out, pictures = len(upload.left_out), len(upload.only_pictures)
    counts = [counted(len(upload.items) - left_out - pictures, "student") + " to grade"]
    if pictures:
        counts.append(f"{pictures} with pictures only, graded if the model sees pictures")
    if left_out:
        counts.append(f"{left_out} with nothing to grade")
    if in_part := len(upload.in_part):
        counts.append(f"{in_part} graded in part")
    if upload.problems:
        counts.append(f"{len(upload.problems):,} not taken")
    st.success("Understood: " + ", ".join(counts), icon=":material/fact_check:")
    work = work_columns(upload.columns)
    with st.expander("Who handed in what", icon=":material/group:"):
        lines = [_line(item, work) for item in upload.items[:MOST_ROWS]]
        filled = [name for name in lines[0] if any(line[name] != "" for line in lines)]
        st.dataframe(
            [{name: line[name] for name in filled} for line in lines], hide_index=True, height=260, key="understood",
            alt="One row for each student: where the work comes from, how long it is, and what is left out",
        )  # fmt: skip
        if len(upload.items) > MOST_ROWS:
            st.caption(f"The first {MOST_ROWS} of {len(upload.items):,}.")


def show_first_look(look: FirstLook) -> None:
    """What the names in a large archive say, before its files are read."""
    st.info(plain(f"From the names in the archive: {look.summary}"), icon=":material/fact_check:")
    with st.expander("Who handed in what", icon=":material/group:"):
        has_names = any(each.name for each in look.students)
        st.dataframe(
            [
                {"student": each.id, **({"name": each.name} if has_names else {}), "files": each.files}
                for each in look.students
            ],
            hide_index=True, height=260, key="first look",
            alt="One row for each student, with the names of the files",
        )  # fmt: skip
        if look.total > len(look.students):
            st.caption(f"The first {len(look.students)} of {look.total:,}.")


def show_first_prompt(first: JobSpec) -> None:
    """What would be sent for one student, word for word."""
    st.subheader("First prompt", anchor=False)
    st.caption(f"for {plain(first.id)}, as it will be sent to the model")
    texts = [first.instructions or ""]
    for piece in prompt_parts(first.prompt, first.instructions):
        if isinstance(piece, str):
            texts.append(piece)
            continue
        _show_texts(texts)
        texts = []
        said = f"Picture of the work, {piece.width} x {piece.height}"
        st.image(piece.url, caption=said, alt=said, width=320)
    _show_texts(texts)


def _show_texts(texts: Sequence[str]) -> None:
    if shown := "\n\n".join(text for text in texts if text.strip()):
        show_work(escape(shown), name="First prompt", is_short=True)


def _line(item: InputItem, work: Collection[str]) -> dict[str, object]:
    characters = sum(len(str(item.fields[name])) for name in item.fields if name in work)
    return {
        "student": item.id,
        "name": known_as(item.metadata).get("name") or "",
        "from": item.where,
        "characters": characters,
        "not graded": (WITH_A_MODEL_THAT_SEES if item.depends_on_sight else item.left_out) or "",
        "files without text": "; ".join(item.not_read),
    }
