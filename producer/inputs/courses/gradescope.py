"""Gradescope's export: a folder per submission beside `submission_metadata.yml`, which lists the whole class.

The shape is as commonly seen; the system is closed and documents none of it. The list is metadata, never a prompt.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from producer.inputs.courses.hand_in import Found, HandIn, Layout, Part, newest_attempts
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from producer.inputs.courses.tree import Tree

_METADATA = "submission_metadata.yml"
_FOLDER = re.compile(r"(?:assignment_\d+_)?submission_(?P<number>\d+)")
_MAX_METADATA_BYTES = 64 * 1024 * 1024


def _find(tree: Tree, assignment: str) -> Found | None:  # noqa: ARG001 - a download holds one assignment
    tops, files = tree.by_top()
    folders = {top: paths for top, paths in tops.items() if _FOLDER.fullmatch(top)}
    others = [path for path in files if path != _METADATA]
    others += [path for top, paths in tops.items() if top not in folders for path in paths]
    has_metadata = _METADATA in tree.paths
    if not folders or (others and not has_metadata):
        return None
    listed = _listed(tree) if has_metadata else {}
    return Found(
        hand_ins=newest_attempts(_hand_ins(folders, listed)),
        passed_over=(_METADATA,) if has_metadata else (),
        unassigned=tuple(others),
    )


def _hand_ins(folders: Mapping[str, list[str]], listed: Mapping[str, Mapping[str, object]]) -> Iterator[HandIn]:
    for folder in dict.fromkeys([*folders, *listed]):
        match = _FOLDER.fullmatch(folder)
        number = match["number"] if match else folder
        known = dict(listed.get(folder, {}))
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
            parts=tuple(Part(name=path.split("/", 1)[1], path=path) for path in folders.get(folder, ())),
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
        content = yaml.load(tree.read(_METADATA, max_bytes=_MAX_METADATA_BYTES), Loader=_Loader)  # noqa: S506 - a safe one
    except yaml.YAMLError:
        raise InvalidInput("cannot be read as YAML; export it again", where=f"{tree.where}/{_METADATA}") from None
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
