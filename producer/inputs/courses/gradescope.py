"""Gradescope's export: a folder or a PDF per submission beside `submission_metadata.yml`, which lists the whole class.

The shape is as commonly seen; the system is closed and documents none of it. The list's keys are the folders of a
programming assignment, or the files of a scanned one. It is metadata, never a prompt.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import yaml

from producer.inputs.courses.hand_in import Found, HandIn, Layout, Part, newest_attempts
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from producer.inputs.courses.tree import Tree

METADATA = "submission_metadata.yml"
"""Names and e-mails of the whole class: no other layout may take it for somebody's work."""
_FOLDER = re.compile(r"(?:assignment_\d+_)?submission_(?P<number>\d+)")
_MAX_METADATA_BYTES = 64 * 1024 * 1024


def _find(tree: Tree, assignment: str) -> Found | None:  # noqa: ARG001 - a download holds one assignment
    tops, files = tree.by_top()
    has_metadata = METADATA in files
    listed = _listed(tree) if has_metadata else {}
    taken = {top: paths for top, paths in tops.items() if top in listed or _FOLDER.fullmatch(top)}
    taken |= {path: [path] for path in files if path in listed}
    others = [path for path in files if path not in taken and path != METADATA]
    others += [path for top, paths in tops.items() if top not in taken for path in paths]
    if not taken or (others and not has_metadata):
        return None
    return Found(
        hand_ins=newest_attempts(_hand_ins(taken, listed)),
        passed_over=(METADATA,) if has_metadata else (),
        unassigned=tuple(others),
    )


def _hand_ins(taken: Mapping[str, list[str]], listed: Mapping[str, Mapping[str, object]]) -> Iterator[HandIn]:
    for key in dict.fromkeys([*taken, *listed]):
        match = _FOLDER.fullmatch(key)
        number = match["number"] if match else PurePosixPath(key).stem
        known = dict(listed.get(key, {}))
        submitters = known.pop("submitters", [])
        people = (
            [_person(each) for each in submitters if isinstance(each, dict)] if isinstance(submitters, list) else []
        )
        metadata: dict[str, object] = {"submission": number, **(people[0] if len(people) == 1 else {})}
        if len(people) > 1:
            metadata["members"] = people
        submitted = str(known.get("created_at", ""))
        if submitted:
            metadata["submitted"] = submitted
        # two submissions of one student are two attempts; the student is known by the list alone
        keys = sorted(str(each.get("email") or each.get("number") or "") for each in people)
        yield HandIn(
            id=_identity(keys, number),
            parts=tuple(Part(name=path.split("/", 1)[-1], path=path) for path in taken.get(key, ())),
            metadata=metadata,
            sort_key=submitted or number.rjust(20, "0"),
        )


def _identity(keys: list[str], number: str) -> str:
    """A single student's e-mail or number; of a team, or without the list, the submission's number."""
    return keys[0] if len(keys) == 1 and keys[0] else number


def _person(submitter: Mapping[object, object]) -> dict[str, object]:
    named = {str(key).lstrip(":"): value for key, value in submitter.items()}
    columns = {"name": "name", "email": "email", "number": "sid"}
    return {column: str(named[key]) for column, key in columns.items() if named.get(key)}


def _listed(tree: Tree) -> dict[str, dict[str, object]]:
    """Folder -> what the list says of it; Ruby writes its keys as `:name`."""
    try:
        content = yaml.load(tree.read(METADATA, max_bytes=_MAX_METADATA_BYTES), Loader=_Loader)  # noqa: S506 - a safe one
    except yaml.YAMLError:
        raise InvalidInput("cannot be read as YAML; export it again", where=f"{tree.where}/{METADATA}") from None
    if not isinstance(content, dict):
        return {}
    return {
        str(folder): {str(key).lstrip(":"): value for key, value in known.items()}
        for folder, known in content.items()
        if isinstance(known, dict)
    }


class _Loader(yaml.CSafeLoader):
    """Reads every value as its text: a student number `0123` is no octal number, a time stays as it is written."""


_Loader.yaml_implicit_resolvers = {}

GRADESCOPE = Layout(name="gradescope", title="Gradescope", documented="as commonly seen", find=_find)
