"""Which files settings are read from: where their user keeps them, and never among submissions.

    --env-file FILE (GRADEQUEUE_ENV_FILE)   before
    ./.env, ./.streamlit/secrets.toml       before
    DATA_DIR/.env

A student can hand in a file of any name, so the working folder counts only while it is no input and lies in none: not
of this command, and not of one that was run with the same data folder before. Standard library only.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

ENVIRONMENT = "environment"
ENV_FILE = "GRADEQUEUE_ENV_FILE"
NO_FILES = "GRADEQUEUE_NO_SETTINGS_FILES"
"""Set for children: their parent has read the files, and passed on what they need."""
DATA_DIR = "GRADEQUEUE_DATA_DIR"
DOTENV = Path(".env")
SECRETS = Path(".streamlit/secrets.toml")
INPUT_FOLDERS = "input-folders"
"""In the data folder: a JSON string a line, each a folder that was graded."""


class UnsafeFile(Exception):  # noqa: N818 - becomes a SettingsError
    """The file that was named cannot be read, or lies among submissions."""


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """One file to read, and how it is called when somebody asks where a value came from."""

    path: Path
    shown: str


def settings_files(inputs: Sequence[Path], *, data_dir: Path | None, default_data_dir: Path) -> list[SettingsFile]:
    """The files that exist and may be read, the one that wins first. Raises `UnsafeFile`."""
    if os.environ.get(NO_FILES):
        return []
    home = (data_dir or Path(os.environ.get(DATA_DIR) or default_data_dir)).expanduser().absolute()
    untrusted = [*_folders(inputs), *_remembered(home)]
    files = []
    if named := os.environ.get(ENV_FILE):
        path = Path(named).expanduser().absolute()
        files.append(SettingsFile(_named(path, untrusted, "--env-file or GRADEQUEUE_ENV_FILE"), str(path)))
    files += [SettingsFile(Path.cwd() / each, str(each)) for each in (DOTENV, SECRETS)]
    files.append(SettingsFile(home / DOTENV, str(home / DOTENV)))
    return [
        each
        for each in files
        if os.access(each.path, os.R_OK) and each.path.is_file() and not lies_within(each.path, untrusted)
    ]


def trusted_file(path: Path, inputs: Sequence[Path], *, data_dir: Path, setting: str) -> Path:
    """The file that `setting` names. Raises `UnsafeFile` where it lies among submissions, or does not exist."""
    return _named(path, [*_folders(inputs), *_remembered(data_dir.expanduser().absolute())], setting)


def remember_input(data_dir: Path, path: Path) -> None:
    """From now on no settings file is read from this folder, by any command with the same data folder."""
    folders = _folders([path])
    data_dir = data_dir.expanduser().absolute()
    if not folders or str(folders[0]) in {str(each) for each in _remembered(data_dir)}:
        return
    with suppress(OSError):  # the command that needs the data folder says what is wrong with it
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (data_dir / INPUT_FOLDERS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(str(folders[0])) + "\n")


def lies_within(path: Path, folders: Collection[Path]) -> bool:
    """Whether the path, or what it links to, is in one of the folders, at any depth. `in/../x` lies beside `in`."""
    places = (path.resolve(), Path(os.path.abspath(path)))  # noqa: PTH100 - pathlib keeps the dots
    return any(place.is_relative_to(folder) for folder in folders for place in places)


def _named(path: Path, untrusted: Collection[Path], setting: str) -> Path:
    if lies_within(path, untrusted):
        raise UnsafeFile(f"{path} lies among the submissions; keep settings in another folder")
    if not path.is_file():
        raise UnsafeFile(f"{path}: there is no such file; correct {setting}")
    return path


def _folders(inputs: Sequence[Path]) -> list[Path]:
    return [path.expanduser().resolve() for path in inputs if path.expanduser().is_dir()]


def _remembered(data_dir: Path) -> list[Path]:
    try:
        lines = (data_dir / INPUT_FOLDERS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    folders = []
    for line in lines:
        with suppress(ValueError, TypeError):  # a line cut short by a full disk
            folders.append(Path(json.loads(line)))
    return folders
