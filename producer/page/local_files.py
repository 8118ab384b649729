"""Archives in one folder of the machine that serves the page: chosen by name and read where they lie, never uploaded.

Only for the person who started the page: without a login it listens on loopback alone. The folder is named when the
page is started, and nothing outside of it can be chosen.
"""

from __future__ import annotations

from io import FileIO
from typing import TYPE_CHECKING

import streamlit as st

from producer.page.limits import MAX_UPLOAD_MIB
from producer.page.plain_text import plain
from producer.page.services import settings
from producer.page.uploads import UploadedFile

if TYPE_CHECKING:
    from pathlib import Path

MOST_OFFERED = 200
CHOICE = "file of the folder"
"""Key in the session."""


class _Kept(FileIO):
    """An open file of a session, closed when the session lets go of it: a page is never notified that it was closed."""

    def __del__(self) -> None:
        self.close()


def archives_in(folder: Path) -> list[str]:
    """Names of the ZIP files that lie in the folder itself, the newest first; links are none of them."""
    try:
        found = [
            path for path in folder.iterdir() if path.suffix.casefold() == ".zip" and not path.name.startswith(".")
        ]
        plain_files = [path for path in found if path.is_file() and not path.is_symlink()]
        newest_first = sorted(plain_files, key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []
    return [path.name for path in newest_first[:MOST_OFFERED]]


def chosen_archive() -> tuple[object, UploadedFile] | None:
    """What was chosen, with an identity that changes when the file does; None without a choice."""
    folder = settings().downloads if is_private() else None
    if folder is None:
        _say_what_to_do_with_larger_ones()
        return None
    names = archives_in(folder)
    name = st.selectbox(
        plain(f"or a ZIP in {folder}, of any size"), names, index=None, key=CHOICE,
        placeholder="read where it lies, not uploaded" if names else "no ZIP lies there",
    )  # fmt: skip
    if name not in names:
        return None
    try:
        content = _Kept(folder / name)
    except OSError as error:
        st.error(plain(f"{name}: cannot be read: {error.strerror}"))
        return None
    with_size = (folder / name).stat()
    return (name, with_size.st_mtime_ns, with_size.st_size), UploadedFile(name, content)


def is_private() -> bool:
    """Whether the page has no login, and so listens on this machine alone."""
    return settings().dashboard_password is None and settings().oidc_secrets is None


def _say_what_to_do_with_larger_ones() -> None:
    here = "`gradequeue serve --downloads FOLDER` offers the ZIPs of a folder here, of any size; or grade it with"
    where = here if is_private() else "grade it on the server with"
    st.caption(f"Up to {MAX_UPLOAD_MIB} MiB a file. A larger one: {where} `gradequeue run FILE.zip`.")
