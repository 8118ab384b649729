"""What one student handed in, as a layout finds it: parts to grade, and what is only known about them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from producer.inputs.archive import is_left_behind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from producer.inputs.courses.tree import Tree

ATTEMPTS_IN_ONE = "attempts_graded_together"
"""Metadata: the dates of attempts of which none is known to be the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing handed in: a file of the tree under the name that the student gave it, or a text from a form."""

    name: str
    """Shown in the prompt; holds nothing that the course system added."""
    path: str = ""
    """In the tree; empty for a text, with a slash at its end for an empty folder."""
    is_form_text: bool = False
    """Typed into a field of the course system, which stores HTML."""
    text: str | None = field(default=None, repr=False)
    without_frame: Callable[[bytes], bytes] | None = field(default=None, repr=False)
    """Takes away the page that the course system put around it; nothing is left where nothing was handed in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandIn:
    """One student's (or one team's) newest attempt. Nothing of `metadata` ever reaches a prompt."""

    id: str
    """What the course system calls the student, unique in the download."""
    parts: tuple[Part, ...]
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)
    """name, number, email, late, attempt, group, members ... as far as the download says it."""
    sort_key: str = ""
    """Of attempts: the later, the greater."""
    place: str = ""
    """Where it lies in the download, for messages; empty when its id says that."""
    is_folder: bool = False
    """Each part is shown under its name, also a single one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All hand-ins of a download, in the order of their ids."""

    hand_ins: tuple[HandIn, ...]
    passed_over: tuple[str, ...] = ()
    """Files of the course system itself: lists, indexes, time stamps."""
    unassigned: tuple[str, ...] = ()
    """Files that belong to no student as far as their names say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one course system names what was handed in."""

    name: str
    """As `--layout` takes it."""
    title: str
    documented: str
    """Where the shape is from, and how sure it is."""
    find: Callable[[Tree, str], Found | None]
    """The hand-ins; None when the tree is no download of this system. The second argument chooses an assignment."""


def newest_attempts(attempts: Iterable[HandIn]) -> tuple[HandIn, ...]:
    """One hand-in per student: the newest attempt, with the number and the times of the others in its metadata."""
    by_id: dict[str, list[HandIn]] = {}
    for attempt in attempts:
        by_id.setdefault(attempt.id, []).append(attempt)
    return tuple(_newest(same) for _, same in sorted(by_id.items()))


def _newest(same: Sequence[HandIn]) -> HandIn:
    ordered = sorted(same, key=lambda attempt: attempt.sort_key)
    newest = ordered[-1]
    if len(ordered) == 1:
        return newest
    earlier = [str(attempt.metadata.get("submitted", attempt.sort_key)) for attempt in ordered[:-1]]
    return replace(
        newest, metadata={**newest.metadata, "attempt": len(ordered), "earlier_attempts_not_graded": earlier}
    )


def without_left_behind(found: Found) -> Found:
    """Hidden files of systems and editors are no parts, not even behind a prefix of the course system."""
    return replace(
        found,
        hand_ins=tuple(
            replace(hand_in, parts=tuple(part for part in hand_in.parts if not is_left_behind(part.name)))
            for hand_in in found.hand_ins
        ),
    )


def joined_parts(pieces: Iterable[tuple[str, Part, Mapping[str, object]]]) -> tuple[HandIn, ...]:
    """Hand-ins of (id, part, metadata), the parts of one id together in the order in which they came."""
    parts: dict[str, list[Part]] = {}
    known: dict[str, dict[str, object]] = {}
    for identity, part, metadata in pieces:
        parts.setdefault(identity, []).append(part)
        before = known.setdefault(identity, {})
        for name, value in metadata.items():
            is_list = isinstance(value, list) and name in before
            before[name] = [*before[name], *value] if is_list else value  # type: ignore[misc] # both are lists
    return tuple(
        HandIn(id=identity, parts=tuple(parts[identity]), metadata=known[identity]) for identity in sorted(parts)
    )
