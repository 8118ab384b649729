"""What becomes of prompts that name a student: they are flagged, get pseudonyms, or are refused.

Imports the contract and nothing else of ours.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from producer.inputs.class_list import ADDRESS, NAME, NUMBER, Mention, apart
from producer.inputs.courses.roster import known_as
from producer.inputs.text import shown
from workers.contract.errors import InvalidInput
from workers.contract.flag import Flag, FlagKind
from workers.contract.identity import IdentityRule, pseudonym_of
from workers.contract.pictures import blanked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from producer.inputs.class_list import ClassList
    from workers.contract.job import JobSpec
    from workers.contract.schemes.fence import Fence

_TITLES: Mapping[str, str] = {NAME: "name", NUMBER: "id or number", ADDRESS: "e-mail address"}


def searched(
    spec: JobSpec, people: ClassList, rule: IdentityRule, *, fence: Fence | None, key: str | None = None
) -> JobSpec:
    """The spec as it is to be sent under this rule; `InvalidInput` where it names a student and must not.

    With a fence, places are those of the student's parts. `key` makes the pseudonyms, or else the fence's mark. One
    that is flagged already is not flagged again.
    """
    if not spec.prompt or (rule is IdentityRule.WARN and any(map(_is_of_names, spec.flags))):
        return spec
    named = _named_parts(spec, fence) if fence is not None else []
    mentions = apart([*named, *people.mentions(blanked(spec.prompt, spec.instructions), own=spec.id)])
    if not mentions:
        return spec
    if rule is IdentityRule.REPLACE:
        made_from = key if key is not None else fence.mark if fence is not None else ""
        return _replaced(spec, mentions, key=made_from)
    kinds = ", ".join(dict.fromkeys(_TITLES[each.kind] for each in mentions))
    place = _place(spec.prompt, mentions[0], fence)
    if rule is IdentityRule.REFUSE:
        raise InvalidInput(f"the prompt of {spec.id!r} names a student ({kinds}; {place}); {WAY_OUT}")
    count = f"{len(mentions)} passages name" if len(mentions) > 1 else "a passage names"
    flag = Flag(kind=FlagKind.IDENTITY_IN_PROMPT, path=place, message=f"{count} a student: {kinds}")
    return replace(spec, flags=(*spec.flags, flag))


WAY_OUT = "remove the names, or have pseudonyms sent instead (--identity replace)"
_MOST_NOTED = 5


def look_for_names(specs: Iterable[JobSpec]) -> tuple[str, ...]:
    """`ada: line 3: a passage names a student: name` for each spec that `searched` flagged or changed."""
    found = []
    for spec in specs:
        flag = next(filter(_is_of_names, spec.flags), None)
        if flag is not None:
            found.append(f"{shown(spec.id)}: {flag.path}: {flag.message}")
        elif spec.pseudonyms:
            found.append(f"{shown(spec.id)}: {len(spec.pseudonyms)} replaced")
    return tuple(found)


def notes_on_names(found: Sequence[str], rule: IdentityRule) -> tuple[str, ...]:
    """What a person should know of them before anything is sent."""
    if not found:
        return ()
    one = len(found) == 1
    if rule is IdentityRule.REPLACE:
        return (f"{len(found):,} {'prompt names' if one else 'prompts name'} a student; pseudonyms are sent instead",)
    more = (f"and {len(found) - _MOST_NOTED:,} more prompts that name a student",) if len(found) > _MOST_NOTED else ()
    advice = f"{'it is' if one else 'they are'} sent as {'it is' if one else 'they are'} and flagged; {WAY_OUT}"
    return (*found[:_MOST_NOTED], *more, advice)


def _is_of_names(flag: Flag) -> bool:
    return flag.kind is FlagKind.IDENTITY_IN_PROMPT


def _named_parts(spec: JobSpec, fence: Fence) -> list[Mention]:
    """Whole parts that are the student's id, name or address, because the template brings that column in."""
    if not any(map(_kind_of, fence.labels(spec.prompt))):
        return []
    found: list[Mention] = []
    for label, work in fence.divided(spec.prompt)[1]:
        kind = _kind_of(label)
        if kind is not None and work.strip():
            start = spec.prompt.index(f"<<< {label} {fence.mark}\n") + len(f"<<< {label} {fence.mark}\n")
            found.append(Mention(start, start + len(work), spec.id, kind))
    return found


@lru_cache
def _kind_of(label: str) -> str | None:
    """What a column holds that says whose the work is; None for every other."""
    if label == "id":
        return NUMBER
    return _KIND_OF_TITLE.get(next(iter(known_as({label: "-"}).keys() - {label}), label))


_KIND_OF_TITLE: Mapping[str, str] = {"name": NAME, "email": ADDRESS, "number": NUMBER, "user": NUMBER}
"""Kind of a column by what its title means."""


def _replaced(spec: JobSpec, mentions: list[Mention], *, key: str) -> JobSpec:
    pieces: list[str] = []
    names: dict[str, str] = {}
    position = 0
    for mention in mentions:
        pseudonym = pseudonym_of(mention.student, mention.kind, key=key)
        names.setdefault(pseudonym, spec.prompt[mention.start : mention.end])
        pieces += [spec.prompt[position : mention.start], pseudonym]
        position = mention.end
    return replace(spec, prompt="".join([*pieces, spec.prompt[position:]]), pseudonyms={**spec.pseudonyms, **names})


def _place(prompt: str, mention: Mention, fence: Fence | None) -> str:
    """`line 3`, of the part that holds it, and which one where there are several."""
    before = prompt[: mention.start]
    parts = fence.contents(prompt) if fence is not None else []
    if fence is None or not parts:
        return f"line {before.count(chr(10)) + 1}"
    opened = before.count("\n<<< ") + before.startswith("<<< ") if len(parts) > 1 else 1
    start = before.rfind(f"{fence.mark}\n")
    line = before.count("\n", start + len(fence.mark) + 1) + 1 if start >= 0 else 1
    return f"line {line}" if len(parts) == 1 else f"part {opened}, line {line}"
