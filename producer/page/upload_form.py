"""The page's upload: files, the questions that only a person can answer, and what was read of them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from producer.inputs.detection import NAMED_ENCODINGS, shown_encoding
from producer.page.limits import MAX_UPLOAD_MIB
from producer.page.local_files import chosen_archive
from producer.page.plain_text import plain
from producer.page.understood import show_first_look, show_understood
from producer.page.uploads import Reading, Upload, UploadedFile, begin_upload, is_archive, read_upload

MOST_PROBLEMS = 100
"""Sentences shown about an upload; the rest is counted."""
MOST_NOTES = 5
"""Sentences shown on how an upload was read; the rest is counted."""
GIVEN = "given files"
"""Key in the session: the files as they were given, for reading the rest of a large archive."""
TYPED_NAME = "typed name"
"""Key in the session: the typed batch name. Streamlit drops a field's own value while the field is not drawn."""


def uploaded() -> Upload | None:
    """The upload, read as the form says; None while nothing in it can be graded."""
    files = _files()
    if not files:
        return None
    given = [file for _, file in files]
    file_ids = {identity for identity, _ in files}
    before, read_as = st.session_state.get("upload_key", (set(), None))
    table = st.session_state.upload.table if before == file_ids else None
    reading = _reading(given, table=table)
    if (before, read_as) != (file_ids, reading):
        if not before & file_ids:
            st.session_state.pop(TYPED_NAME, None)  # nothing of the upload is left that it was typed for
        st.session_state.upload = begin_upload(given, reading)
        st.session_state[GIVEN] = given
        st.session_state.whole_upload = {}
        st.session_state.upload_key = (file_ids, reading)
        st.session_state.upload_stem = Path(given[0].name).stem if len(given) == 1 else "submissions"
        if st.session_state.upload.table != table:
            st.rerun()  # only now the question about it can be asked, or is none any more
    upload: Upload = st.session_state.whole_upload.get("read", st.session_state.upload)
    st.session_state.upload = upload
    if not upload.items:
        tell(upload)
        st.error("Nothing in this upload can be graded.")
        return None
    return upload


def _files() -> list[tuple[object, UploadedFile]]:
    """What was uploaded, else what was chosen on this machine, each with an identity of its content."""
    files = st.file_uploader(
        "Submissions", accept_multiple_files=True, key="submissions", max_upload_size=MAX_UPLOAD_MIB
    )
    chosen = chosen_archive()
    if files:
        return [(file.file_id, UploadedFile(file.name, file)) for file in files]
    if chosen is None:
        st.session_state.pop(GIVEN, None)
        return []
    return [chosen]


def read_the_rest(upload: Upload) -> None:
    """Read the whole of a large archive whose first prompt is on the page, and draw the page again."""
    given = st.session_state[GIVEN]
    _ids, reading = st.session_state.upload_key
    # a holder of its own: a click meanwhile ends this drawing at the next look into the session, and keeps what is read
    kept: dict[str, Upload] = st.session_state.whole_upload
    total = upload.look.total if upload.look is not None else 0
    with st.spinner(f"Reading the work of all {total:,} before it can be graded"):
        kept["read"] = read_upload(given, reading)
    st.rerun()


def _reading(given: list[UploadedFile], *, table: str | None) -> Reading:
    """What the files alone do not say."""
    archives_are_students = any(is_archive(file) for file in given) and st.toggle(
        "Each ZIP is the work of one student, named after the ZIP", key="archives are students"
    )
    table_gives_rows = (
        table is not None
        and not archives_are_students
        and st.toggle(
            plain(f"{table} is my own table: grade each of its rows"),
            key="table gives rows",
            help="Its rows name the students and may choose model and parameters. Leave this off for a student's file.",
        )
    )
    encoding = st.selectbox(
        "Encoding of files that are not UTF-8", NAMED_ENCODINGS, index=None, key="encoding",
        placeholder="detected; refused when unsure", format_func=shown_encoding,
    )  # fmt: skip
    return Reading(archives_are_students=archives_are_students, table_gives_rows=table_gives_rows, encoding=encoding)


def tell(upload: Upload) -> None:
    """What was read, and what was left out."""
    if upload.look is not None:
        show_first_look(upload.look)
        return
    if upload.items:
        show_understood(upload)
    for note in upload.notes[:MOST_NOTES]:
        st.caption(plain(note))
    if len(upload.notes) > MOST_NOTES:
        st.caption(f"and {len(upload.notes) - MOST_NOTES} more notes")
    left_out = (*upload.problems, *upload.left_out)
    _list(f"{len(left_out)} left out: see why", left_out, is_open=not upload.items)
    _list(f"{len(upload.only_pictures)} with pictures only", upload.only_pictures)
    _list(f"{len(upload.in_part)} graded in part: see why", upload.in_part)


def _list(title: str, sentences: tuple[str, ...], *, is_open: bool = False) -> None:
    if not sentences:
        return
    with st.expander(title, expanded=is_open, icon=":material/warning:"):
        for sentence in sentences[:MOST_PROBLEMS]:
            st.text(sentence)
        if len(sentences) > MOST_PROBLEMS:
            st.text(f"and {len(sentences) - MOST_PROBLEMS} more")
