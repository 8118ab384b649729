"""Which column of a table names the students: the one called `id`, the one that was named, or the only likely one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.inputs.columns import did_you_mean, listed
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

ID = "id"
_BETWEEN_WORDS = re.compile(r"[\s_./-]+")
_LIKELY = (
    frozenset({ID}),
    frozenset({
        "student id", "studentid", "student number", "student no", "matrikelnummer", "matrikel nr",
        "matriculation number", "matr nr", "matrnr", "sis user id", "orgdefinedid",
        "org defined id", "participant number", "candidate number",
        "candidate id", "roll number", "roll no", "registration number", "numero etudiant", "sid", "submission id",
        "opiskelijanumero", "opintonumero", "studentnummer", "numero de matricula", "matricola",
    }),
    frozenset({"user id", "userid", "username", "user name", "login", "login id", "sis login id", "identifier",
        "kennung"}),
    frozenset({"email", "email address", "e mail", "e mail address", "mail", "e mail adresse", "email adresse"}),
)  # fmt: skip
"""Titles in the languages that exports were seen in; of two kinds the earlier names better."""


def find_id_column(titles: Sequence[str], *, wanted: str = "") -> str:
    """The title. `InvalidInput` when there is no `wanted` one, none is likely, or two are equally likely."""
    named = [title for title in titles if title]
    if wanted:
        if wanted in named:
            return wanted
        raise InvalidInput(
            f"there is no column {wanted!r}{did_you_mean(wanted, named)}; the columns are {listed(named)}"
        )
    if ID in named:
        return ID
    for kind in _LIKELY:
        found = [title for title in named if _folded(title) in kind]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidInput(f"the columns {listed(found)} could each name the students; choose one with --id-column")
    raise InvalidInput(
        f"the header has no column 'id'{did_you_mean(ID, named)}, and none that is sure to name the students; "
        f"choose one with --id-column, or name it 'id'; the columns are {listed(named)}"
    )


def has_id_column(titles: Sequence[str], *, wanted: str = "") -> bool:
    """Whether a header read with some delimiter looks like one."""
    return wanted in titles if wanted else any(_folded(title) in kind for title in titles for kind in _LIKELY)


def _folded(title: str) -> str:
    return _BETWEEN_WORDS.sub(" ", title).strip().casefold()
