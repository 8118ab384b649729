"""Which columns of an input may hold what a student handed in, and which only say whose it is or how to grade it.

Where nothing but such columns exist, all but the ids count: what is graded then is the instructor's own business.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.inputs.columns import METADATA, METADATA_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

OPTION_COLUMNS = frozenset({
    "schema", "model", "temperature", "max_tokens", "max_retries", "retry_delay", "allow_repair", "fallback_model",
    "deadline", "effort", "verbosity",
})  # fmt: skip
"""Columns in which a row sets how it is graded."""
_ABOUT_THE_STUDENT = frozenset({
    "timestamp", "time", "date", "submitted", "submitted at", "submission time", "start time", "completion time",
    "email", "email address", "mail", "username", "user name", "user", "login", "sis login id",
    "name", "full name", "first name", "last name", "surname", "given name", "family name", "display name",
    "student", "student name", "student id", "student number", "sis user id", "user id", "matriculation number",
    "participant number", "identifier", "matrikelnummer", "student no", "vorname", "nachname", "kennung",
    "section", "group", "course", "seat", "status",
})  # fmt: skip
_BETWEEN_WORDS = re.compile(r"[\s_.-]+")


def work_columns(columns: Iterable[str]) -> frozenset[str]:
    """The columns that a template must use one of, so that the student's work is in the prompt."""
    beside_the_id = frozenset(columns) - {"id"}
    return frozenset(column for column in beside_the_id if not is_about_the_student(column)) or beside_the_id


def is_about_the_student(column: str) -> bool:
    """Whether a column names a person or a time, or sets an option, as course systems and forms title such columns."""
    if column in OPTION_COLUMNS or column == METADATA or column.startswith(METADATA_PREFIX):
        return True
    return says_whose_it_is(column)


def says_whose_it_is(column: str) -> bool:
    """Whether a column names a person or a time, as course systems and forms title such columns."""
    words = _BETWEEN_WORDS.sub(" ", column).strip().casefold().replace("e mail", "email")
    return words in _ABOUT_THE_STUDENT
