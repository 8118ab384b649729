"""`python -m ops.bench.page`: what the page costs beside a batch of 5,000 results.

refresh   queries, rows that came to the page, and database time of each part of the page
paint     time until a browser shows the batch's numbers and its first students (needs Chromium; left out without)

Printed beside the design's bounds: eight queries and 60 ms a refresh, 1.5 s to the first useful paint.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import event

from ops.bench.chaos.services import Cluster, cluster
from ops.bench.page.filled import BATCH, PROVIDER, fill
from ops.bench.page.paint import first_paint
from producer.client import JobClient
from producer.review.glance import Board, Choice, KeptRubrics, Show, SortBy
from workers.contract.registry import builtin_registry
from workers.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_QUERIES, MOST_MILLISECONDS, MOST_PAINT_SECONDS = 8, 60.0, 1.5
ROUNDS = 15


@dataclass
class Spent:
    """What one refresh asked of the database."""

    queries: int = 0
    rows: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    """Of this process: with SQLite, the database's own, which a busy machine does not stretch as much."""


def main() -> None:
    """Measure on SQLite, and on PostgreSQL where it is installed."""
    parser = argparse.ArgumentParser(prog="ops.bench.page", description=__doc__)
    parser.add_argument("--students", type=int, default=5000)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gq-bench-")))
        urls = {"sqlite": f"sqlite:///{folder / 'gradequeue.db'}"}
        if Cluster.is_possible():
            urls["postgresql"] = stack.enter_context(cluster()).url
        for kind, url in urls.items():
            store = Store.open(url)
            store.migrate()
            fill(store, options.students)
            _refreshes(kind, store)
            store.close()
        painted = first_paint(urls["sqlite"], BATCH)
        if painted is None:
            print("paint      no Chromium here: not measured")
        else:
            bound = f"(bound {MOST_PAINT_SECONDS} s)"
            print(f"paint      {painted.cold_seconds:.2f} s first, {painted.warm_seconds:.2f} s again {bound}")


def _refreshes(kind: str, store: Store) -> None:
    client = JobClient(store=store, publisher=None, registry=builtin_registry(), provider=PROVIDER)
    board = Board(client, BATCH)
    kept = KeptRubrics()
    last = board.students(Choice(sort=SortBy.LOWEST), rubrics=kept, at_most=4975).next
    parts: dict[str, Callable[[], object]] = {
        "numbers": board.glance,
        "students, most doubtful first": lambda: board.students(Choice(), rubrics=kept),
        "students, lowest, the last page": lambda: board.students(Choice(sort=SortBy.LOWEST), rubrics=kept, at=last),
        "rubrics of the batch, once a session": lambda: board.students(Choice(), at_most=1),
        "whether works were compared": board.comparison,
        "how many students": lambda: board.count_students(Choice(show=Show.UNDECIDED)),
        "students, flagged, searched": lambda: board.students(Choice(show=Show.FLAGGED, search="s00"), rubrics=kept),
        "one student, with who comes next": lambda: board.student("s02500", Choice(), rubrics=kept),
        "charts": board.charts,
    }
    print(f"{kind:<12}{'part of the page':<36}{'queries':>8}{'rows':>7}{'database ms':>14}{'own processor ms':>18}")
    for name, part in parts.items():
        spent = [_measured(store, part) for _ in range(ROUNDS)]
        queries, rows = spent[0].queries, spent[0].rows
        milliseconds = statistics.median(each.seconds for each in spent) * 1000
        own = statistics.median(each.processor_seconds for each in spent) * 1000
        is_held = queries <= MOST_QUERIES and milliseconds <= MOST_MILLISECONDS
        verdict = "" if is_held else f"   over {MOST_QUERIES} queries or {MOST_MILLISECONDS:g} ms"
        print(f"{'':<12}{name:<36}{queries:>8}{rows:>7}{milliseconds:>14.1f}{own:>18.1f}{verdict}")


def _measured(store: Store, part: Callable[[], object]) -> Spent:
    with _watched(store) as spent:
        part()
    return spent


@contextmanager
def _watched(store: Store) -> Iterator[Spent]:
    """Queries between these lines and the time in the database; what a transaction begins and ends with is no query."""
    spent, began = Spent(), [0.0, 0.0]

    def counted(_cursor: object, row: tuple[object, ...]) -> tuple[object, ...]:
        spent.rows += 1
        return row

    def before(_connection: object, cursor: object, statement: str, *_rest: object) -> None:
        if isinstance(cursor, sqlite3.Cursor):  # the same statements give PostgreSQL's page as many
            cursor.row_factory = counted
        spent.queries += statement.startswith(("SELECT ", "WITH ")) and "set_config" not in statement
        began[:] = time.perf_counter(), time.thread_time()

    def after(*_arguments: object) -> None:
        spent.seconds += time.perf_counter() - began[0]
        spent.processor_seconds += time.thread_time() - began[1]

    event.listen(store.engine, "before_cursor_execute", before)
    event.listen(store.engine, "after_cursor_execute", after)
    try:
        yield spent
    finally:
        event.remove(store.engine, "before_cursor_execute", before)
        event.remove(store.engine, "after_cursor_execute", after)


if __name__ == "__main__":
    main()
