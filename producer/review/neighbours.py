"""Works that are nearly the same, and grades that are far from those of their neighbours. Pure.

Two works are neighbours when at least half of their word sequences are shared, estimated from the smallest hashes of
each (bottom-k sketches, Broder 1997). What most works share, such as a template's text, says nothing and is left out.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from heapq import nsmallest
from statistics import median
from typing import TYPE_CHECKING
from zlib import crc32

from workers.store.work_comparisons import Outlier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

METHOD = 1
"""Counted up when another way of comparing is used, so that kept findings are made again."""
LEAST_ALIKE = 0.5
"""Share of word sequences that two neighbours have in common."""
LEAST_NEIGHBOURS = 2
MOST_NEIGHBOURS = 5
OUTLIER_SHARE = 0.1
"""Of the scale: what is nearer to its neighbours' median is no outlier."""
_TOKENS_AT_ONCE = 4
_SKETCH = 64
_LEAST_SKETCH = 8
"""Shorter works are alike by chance."""
_MOST_SHARED = 50
"""A sequence in more works than this is common text, and would make every pair a candidate."""
_PARTS = 64
_TOKEN = re.compile(r"\w+|[^\w\s]")


def outliers(works: Iterable[tuple[str, str]], grades: Mapping[str, float], *, scale: float) -> dict[str, Outlier]:
    """Item id -> how its grade differs from its neighbours'; the others are absent.

    `works`: (item id, text of the work), of which those without a grade are left out. `scale`: highest less lowest
    possible grade. Cost: a few milliseconds per work.
    """
    if scale <= 0:
        return {}
    sketches, shared = _sketches((item_id, text) for item_id, text in works if item_id in grades)
    found = {}
    for item_id, near in _neighbours(sketches, shared):
        if len(near) < LEAST_NEIGHBOURS:
            continue
        expected = median(grades[each] for each in near)
        share = round(min(1.0, abs(grades[item_id] - expected) / scale), 4)
        if share > OUTLIER_SHARE:
            found[item_id] = Outlier(expected, len(near), share)
    return found


def _sketches(works: Iterable[tuple[str, str]]) -> tuple[dict[str, array[int]], set[int]]:
    """Item id -> smallest hashes of its work, rising; and those hashes that several works have."""
    wide: dict[str, array[int]] = {}
    parts: list[array[int]] = [array("I") for _ in range(_PARTS)]
    for item_id, text in works:
        smallest = nsmallest(2 * _SKETCH, _hashes(text))
        wide[item_id] = array("I", smallest)
        for value in smallest:
            parts[value % _PARTS].append(value)
    most = min(_MOST_SHARED, max(len(wide) // 2, 3))
    shared: set[int] = set()
    common: set[int] = set()
    for part in parts:  # a count of all at once would take most of the memory
        for value, count in Counter(part).items():
            if count > 1:
                (common if count > most else shared).add(value)
    for item_id in list(wide):
        kept = [value for value in wide[item_id] if value not in common][:_SKETCH]
        if len(kept) >= _LEAST_SKETCH:
            wide[item_id] = array("I", kept)
        else:
            del wide[item_id]
    return wide, shared


def _hashes(text: str) -> set[int]:
    tokens = _TOKEN.findall(text)
    sequences = zip(*(tokens[start:] for start in range(_TOKENS_AT_ONCE)), strict=False)
    return {crc32(" ".join(each).encode()) for each in sequences}


def _neighbours(sketches: Mapping[str, array[int]], shared: Collection[int]) -> Iterator[tuple[str, list[str]]]:
    """The most alike of each work, at most `MOST_NEIGHBOURS`; `shared`: the hashes that several have."""
    holders: dict[int, list[str]] = defaultdict(list)
    for item_id, sketch in sketches.items():
        for value in sketch:
            if value in shared:
                holders[value].append(item_id)
    for item_id, sketch in sketches.items():
        others = {other for value in sketch for other in holders.get(value, ()) if other != item_id}
        own = frozenset(sketch)
        alike = ((_alikeness(own, frozenset(sketches[other])), other) for other in others)
        near = sorted((each for each in alike if each[0] >= LEAST_ALIKE), reverse=True)
        yield item_id, [other for _alike, other in near[:MOST_NEIGHBOURS]]


def _alikeness(one: frozenset[int], other: frozenset[int]) -> float:
    """Estimated share of common sequences: of the smallest hashes of both together, how many both have."""
    smallest = sorted(one | other)[:_SKETCH]
    return sum(value in one and value in other for value in smallest) / len(smallest)
