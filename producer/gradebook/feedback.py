"""What each student reads: a page in Markdown or HTML, and a ZIP of them under names that the system takes back.

`feedback_pdf` makes a PDF of the same lines.
"""

from __future__ import annotations

import html
import re
import zipfile
from typing import IO, TYPE_CHECKING, NamedTuple

from workers.contract.doubt import WorkState
from workers.contract.headline import GRADED_BY_HAND, POINTS_BY_HAND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from producer.gradebook.grade import Grade

_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")
_FIXED_TIME = (2026, 1, 1, 0, 0, 0)
"""The same grades give the same file."""
_OURS = frozenset(
    {
        "max_points",
        "total_points",
        "band",
        "score",
        "points",
        "grade",
        "total_deduction",
        POINTS_BY_HAND,
        GRADED_BY_HAND,
    }
)

_OF_RUBRICS = ("assessed_points", "not_assessed")
"""Said with each criterion already."""
_WORK: Mapping[object, str] = {
    WorkState.ASSESSABLE: "",
    WorkState.EMPTY: "nothing was found to assess",
    WorkState.UNREADABLE: "it could not be read",
    WorkState.OTHER_TASK: "it seems to be for another assignment",
}


def feedback_markdown(grade: Grade, *, title: str) -> str:
    """One student's page. Model text is shown as text: none of it becomes a link, a picture or a heading."""
    lines = [f"# {_plain(title)}", ""]
    if grade.is_standin:
        lines += ["**Rehearsal: this grade is the stand-in provider's and not real.**", ""]
    if grade.score is not None:
        lines.append(f"**Points: {grade.score.shown}**{f' ({_plain(grade.band)})' if grade.band else ''}")
    else:
        lines.append(f"**{_plain(grade.why_none)}**")
    not_read = grade.metadata.get("files_not_read")
    if isinstance(not_read, list) and not_read:
        names = "; ".join(map(str, not_read))
        lines += ["", f"Not read: {_plain(names)}."]
    lines += _of_result(grade)
    return "\n".join(lines).rstrip() + "\n"


def feedback_html(grade: Grade, *, title: str) -> str:
    """The same as a page of its own, without script, style sheet or picture from anywhere."""
    body = "\n".join(_html_line(line) for line in feedback_markdown(grade, title=title).splitlines())
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><title>{html.escape(title)}</title></head>'
        f"<body>\n{body}\n</body></html>\n"
    )


def write_feedback_zip(pages: Iterable[tuple[str, bytes]], file: IO[bytes]) -> int:
    """Write a ZIP of pages, each as it comes: (member name, content). The same pages give the same file.

    Returns how many there were.
    """
    number = 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pages:
            number += 1
            member = zipfile.ZipInfo(name, _FIXED_TIME)
            archive.writestr(member, content, compress_type=zipfile.ZIP_DEFLATED)
    return number


def member_name(grade: Grade, system: str, suffix: str) -> str | None:
    """The name under which the system finds its student again; None where it takes none back for this one.

    Moodle splits at `_` and reads the participant number second and the plugin third and fourth; a team's number may
    be a participant's. Canvas takes the first two parts that are numbers for the user and an attachment: texts and
    links have none, and a name must not be one.
    """
    if system == "moodle":
        number = grade.metadata.get("number")
        if not number or grade.metadata.get("group"):
            return None
        name = (grade.name or "Participant").replace("_", " ").replace("/", " ").lstrip(".~")
        return f"{name}_{number}_assignsubmission_file/feedback.{suffix}"
    if system == "canvas":
        attachments = grade.metadata.get("attachments")
        if not isinstance(attachments, list) or not attachments:
            return None
        person = _NOT_IN_A_NAME.sub("", grade.name).replace("_", "")
        person = person if person and not person.isdigit() else f"student{person}"
        return f"{person}_{grade.metadata.get('canvas_id')}_{attachments[0]}_feedback.{suffix}"
    return f"{_NOT_IN_A_NAME.sub('-', grade.id)}.{suffix}"


def _of_result(grade: Grade) -> Iterable[str]:
    rest = dict(grade.result or {})
    if (work := rest.get("work")) in _WORK:
        del rest["work"]
        if words := _WORK[str(work)]:
            yield from _named("your work", words, 2)
    criteria = rest.get("criteria")
    if isinstance(criteria, dict) and all(
        isinstance(each, dict) and "max_points" in each for each in criteria.values()
    ):
        for name in ("criteria", *_OF_RUBRICS):
            rest.pop(name, None)
        for name, criterion in criteria.items():
            yield from _criterion(grade.criteria.get(name, name), criterion)
    yield from _section(rest, depth=2)


def _criterion(title: str, criterion: Mapping[str, object]) -> Iterable[str]:
    """The criterion's points and maximum are the rubric's own, whatever the total is scaled to."""
    most, points = _text(criterion["max_points"]), criterion.get("points")
    given = f"not assessed (of {most})" if points is None else f"{_text(points)} of {most}"
    yield from ("", f"## {_plain(title)}: {given}")
    rest = dict(criterion)
    if level := rest.pop("level", None):
        yield from _named("level", level, 3)
    if why := rest.pop("cannot_assess", None):
        yield from _named("not assessed", why, 3)
    yield from _section(rest, depth=3)


def _section(value: object, *, depth: int) -> Iterable[str]:
    if isinstance(value, dict):
        for name, below in value.items():
            if name not in _OURS and below not in (None, "", [], {}):
                yield from _named(str(name), below, depth)
    elif isinstance(value, list):
        for each in value:
            yield from _entry(each, depth)
    else:
        yield _plain(_text(value))


def _named(name: str, below: object, depth: int) -> Sequence[str]:
    title = name.replace("_", " ").capitalize()
    if isinstance(below, dict | list):
        return ["", f"{'#' * min(depth, 6)} {_plain(title)}", "", *_section(below, depth=depth + 1)]
    return ["", f"**{_plain(title)}:** {_plain(_text(below))}"]


def _entry(each: object, depth: int) -> Iterable[str]:
    return _section(each, depth=depth) if isinstance(each, dict) else [f"- {_plain(_text(each))}"]


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_MARKS = re.compile(r"([\\`*_{}\[\]<>#!|])")


def _plain(text: str) -> str:
    """On one line, every sign of Markdown taken as it is."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


_ESCAPED = re.compile(r"\\([\\`*_{}\[\]<>#!|])")
_BOLD = re.compile(r"(?<!\\)\*\*(.+?)(?<!\\)\*\*")
_HEADING = re.compile(r"(#+) (.*)")


class HtmlLine(NamedTuple):
    """A line of a page: markup that knows `<b>` alone, and the level of a heading, 0 for a paragraph."""

    text: str
    level: int


def line_as_html(line: str) -> HtmlLine:
    """A line of `feedback_markdown`, every other sign escaped."""
    heading = _HEADING.fullmatch(line)
    shown = _BOLD.sub(r"<b>\1</b>", html.escape(heading[2] if heading else line.removeprefix("- "), quote=False))
    shown = _ESCAPED.sub(r"\1", shown.replace("\\&lt;", "&lt;").replace("\\&gt;", "&gt;"))
    return HtmlLine(f"{'• ' if line.startswith('- ') else ''}{shown}", len(heading[1]) if heading else 0)


def _html_line(line: str) -> str:
    shown = line_as_html(line)
    if shown.level:
        return f"<h{shown.level}>{shown.text}</h{shown.level}>"
    return f"<p>{shown.text}</p>" if line else ""
