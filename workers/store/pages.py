"""Lists a page at a time: a page begins behind the last row of the page before, so each costs the same. Read-only.

Nothing is skipped by number and nothing is counted, and a row that comes or goes meanwhile moves no other one to a page
that was read already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import ColumnElement, and_, or_, tuple_

from workers.store.tables import batches, jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, Row, Select

    SomeRows = TypeVar("SomeRows", bound=Select[Any])

Each = TypeVar("Each")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Key:
    """Something that a list is ordered by; never null. The keys of a list distinguish any two of its rows."""

    column: ColumnElement[Any]
    is_falling: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Between two rows of a list: behind the one with these keys, or before it when the list is read backwards."""

    values: tuple[Any, ...]
    is_backwards: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Each]):
    """Some rows of a list, in its order."""

    rows: Sequence[Each]
    previous: Place | None
    """Where the page before this one is read from; None on the first."""
    next: Place | None
    """Where the page after this one is read from; None on the last."""

    def mapped(self, rows: Sequence[Other]) -> Page[Other]:
        """The same page with these in place of its rows."""
        return Page(rows, self.previous, self.next)


def read_page(
    connection: Connection, rows: Select[Any], keys: Sequence[Key], *, at: Place | None = None, at_most: int
) -> Page[Row[Any]]:
    """One page of these rows. Cost: one query, two where it is the first page and was reached backwards.

    `at` is None for the first page, else `previous` or `next` of another one. A page that is empty although others are
    not was behind the last row: begin anew.
    """
    is_backwards = at is not None and at.is_backwards
    order = [each.column.desc() if each.is_falling != is_backwards else each.column.asc() for each in keys]
    # one more than is asked for says whether another page follows
    wanted = rows.add_columns(*_labelled(keys)).order_by(None).order_by(*order).limit(at_most + 1)
    if at is not None:
        wanted = wanted.where(is_beyond(keys, at.values, is_backwards=is_backwards))
    found = connection.execute(wanted).all()
    has_more = len(found) > at_most
    if is_backwards and not has_more:  # a first page that is full, whatever has come since
        return read_page(connection, rows, keys, at_most=at_most)
    found = found[at_most - 1 :: -1] if is_backwards else found[:at_most]
    if not found:
        return Page((), None, None)
    before = Place(_values(found[0], keys), is_backwards=True) if at is not None else None
    behind = Place(_values(found[-1], keys)) if is_backwards or has_more else None
    return Page(found, before, behind)


def is_beyond(keys: Sequence[Key], values: Sequence[Any], *, is_backwards: bool = False) -> ColumnElement[bool]:
    """The row comes after the one with these values, or before it, in the order of the keys."""
    falls = [each.is_falling != is_backwards for each in keys]
    columns = [each.column for each in keys]
    if len(keys) > 1 and len(set(falls)) == 1:  # as one comparison, which an index over the keys answers
        return _passes(tuple_(*columns), tuple_(*values), falls=falls[0])
    pairs = list(zip(columns, values, strict=True))
    return or_(
        *(
            and_(*(same == other for same, other in pairs[:number]), _passes(*pairs[number], falls=falls[number]))
            for number in range(len(keys))
        )
    )


def _passes(value: ColumnElement[Any], other: Any, *, falls: bool) -> ColumnElement[bool]:
    found: ColumnElement[bool] = value < other if falls else value > other
    return found


def _labelled(keys: Sequence[Key]) -> Iterator[ColumnElement[Any]]:
    return (each.column.label(f"page_key_{number}") for number, each in enumerate(keys))


def _values(row: Row[Any], keys: Sequence[Key]) -> tuple[Any, ...]:
    return tuple(row._mapping[f"page_key_{number}"] for number in range(len(keys)))  # noqa: SLF001 - a Row's public view


def read_in_turn(
    read: Callable[[Each | None, int], Sequence[Each]], *, size: int, at_most: int | None = None
) -> Iterator[Sequence[Each]]:
    """Pages of `size` rows until one is empty or `at_most` rows were read: a list read to its end.

    `read(last, most)` gives the next rows behind the last one of the page before, which is None at first.
    """
    last: Each | None = None
    left = at_most
    while left != 0:
        rows = read(last, size if left is None else min(size, left))
        if not rows:
            return
        yield rows
        last = rows[-1]
        left = None if left is None else left - len(rows)


def page_of_batch(rows: SomeRows, name: str, *, after: Row[Any] | None, at_most: int) -> SomeRows:
    """The next rows of the batch in input order, behind this one; jobs that are staging are left out.

    `rows` selects from jobs joined to batches, positions among the columns.
    """
    return (
        rows.where(batches.c.name == name, jobs.c.position < batches.c.opened, is_behind(after))
        .order_by(jobs.c.position)
        .limit(at_most)
    )


_INPUT_ORDER = (Key(jobs.c.position),)


def is_behind(row: Row[Any] | None) -> ColumnElement[bool]:
    """The job comes after this row of its batch, which has a position; any does when there is none."""
    return is_beyond(_INPUT_ORDER, (-1 if row is None else row.position,))
