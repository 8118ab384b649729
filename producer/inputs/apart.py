"""The instructor's own files are not among the submissions: there each would be graded as a student's work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.settings.files import lies_within

if TYPE_CHECKING:
    from collections.abc import Mapping


def refuse_among_submissions(input_path: Path, given: Mapping[str, Path | str | None]) -> None:
    """Raise `InvalidInput` when a file that one of these options names lies in the folder of the submissions.

    `given` is option name -> value; of `FILE#ID` the file counts. An input that is a single file has nothing beside it.
    """
    if not input_path.is_dir():
        return
    folders = [input_path.resolve()]
    for option, value in given.items():
        if not value:
            continue
        if lies_within(Path(str(value).partition("#")[0]), folders):
            raise InvalidInput(
                f"lies among the submissions in {input_path} and would be graded as one of them; "
                "move it out of that folder",
                where=f"--{option} {value}",
            )
