"""The page's question by what is graded: a rubric or error catalogue from a file, from a kit, or written here."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from producer.page.plain_text import plain
from producer.page.rubric_editor import edited
from workers.contract.errors import InvalidInput
from workers.contract.schemes.catalogue import load_catalogues
from workers.contract.schemes.open_ranges import LEVEL_POINTS
from workers.contract.schemes.rubric import entry_from_file, parse_rubric, rubric_entries, rubric_from_option
from workers.contract.schemes.scheme import RUBRIC_SCHEMA, scheme_of_catalogue, scheme_of_context, scheme_of_rubric

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.inputs.kits.kit import Kit
    from workers.contract.schemes.open_ranges import LevelPoints
    from workers.contract.schemes.rubric import Rubric
    from workers.contract.schemes.scheme import GradingScheme

Found = TypeVar("Found")


def asked_scheme(schema: str, kit: Kit) -> GradingScheme | None:
    """The rubric or catalogue for this schema; None while there is none."""
    scheme = _rubric_scheme(kit) if schema == RUBRIC_SCHEMA else _catalogue_scheme(schema, kit)
    for warning in scheme.warnings if scheme else ():
        st.warning(plain(warning))
    return scheme


def _rubric_scheme(kit: Kit) -> GradingScheme | None:
    of_kit = kit.options.get("rubric")
    rubric = _chosen("Rubric", ["json", "yaml", "yml", "csv"], _rubrics, key=f"scheme {RUBRIC_SCHEMA}")
    source = "file"
    if rubric is None and (of_kit or (kit.context and kit.schema == RUBRIC_SCHEMA)):
        rubric = rubric_from_option(str(of_kit)) if of_kit else parse_rubric(dict(kit.context or {}))
        source = f"kit {kit.name}"
        st.caption(plain(f"Rubric: {rubric.title}, as in {kit.name}"))
    above = st.container()
    label = "Change the rubric" if rubric else "Write the rubric here"
    is_edited = st.toggle(label, key=f"edit rubric {source if rubric else ''}")
    if rubric is None and not is_edited:
        above.info("This kind of result needs a rubric: upload one, or write it here.")
    if is_edited:
        rubric = edited(rubric, key=f"{source} {rubric.rubric_id if rubric else 'new'}")
    if rubric is None:
        return None
    scheme = scheme_of_rubric(rubric, kit.points)
    if not scheme.leaves_points_open:
        return scheme
    points: LevelPoints = st.radio(
        "Levels have ranges of points. Which of them count?", LEVEL_POINTS, horizontal=True, key="level points"
    )
    return scheme_of_rubric(rubric, points)


def _catalogue_scheme(schema: str, kit: Kit) -> GradingScheme | None:
    found = _chosen("Error catalogue", ["json", "yaml", "yml"], _catalogues, key=f"scheme {schema}")
    if found is None and kit.options.get("catalogue"):
        return kit.scheme()
    if found is None and kit.context and kit.schema == schema:
        st.caption(plain(f"Error catalogue as in {kit.name}"))
        return scheme_of_context(schema, kit.context)
    if found is None:
        st.info("This kind of result needs an error catalogue.")
    return found


def _chosen(
    what: str, kinds: list[str], read: Callable[[Path], dict[str, Callable[[], Found]]], *, key: str
) -> Found | None:
    """What an uploaded file holds: its one rubric or catalogue, or the chosen of several. Only that one is judged."""
    file = st.file_uploader(f"{what} ({', '.join(kinds)})", type=kinds, key=key)
    if file is None:
        return None
    with tempfile.TemporaryDirectory(prefix="gradequeue-scheme-") as folder:
        path = Path(folder) / (Path(file.name).name or "scheme.json")
        path.write_bytes(file.getvalue())
        found = read(path)
    chosen = st.selectbox(what, list(found), key=f"chosen {key}") if len(found) > 1 else next(iter(found), None)
    if chosen is None:
        raise InvalidInput("holds no rubric or catalogue", where=file.name)
    return found[chosen]()


def _rubrics(path: Path) -> dict[str, Callable[[], Rubric]]:
    return {
        key: partial(entry_from_file, entry, where=f"{path.name} {key}") for key, entry in rubric_entries(path).items()
    }


def _catalogues(path: Path) -> dict[str, Callable[[], GradingScheme]]:
    return {
        f"{each.course_id} / {each.assignment_name or each.assignment_id}": partial(scheme_of_catalogue, each)
        for each in load_catalogues(path)
    }
