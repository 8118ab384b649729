"""What the page reads of a batch: the same truth as results and decisions say, in few queries, never all rows."""

from __future__ import annotations

import sqlite3
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, event, update

from producer.client import JobClient
from producer.review.corrections import Correction
from producer.review.glance import Board, Choice, KeptRubrics, Show, SortBy
from tests.store.steps import claim, enqueue, failure, new_job, persist, publish
from tests.store.test_review import Answer, review
from workers.contract.decision import ReviewState
from workers.contract.flag import Flag, FlagKind
from workers.contract.outcome import Success
from workers.contract.registry import builtin_registry
from workers.store.enqueue import save_context
from workers.store.ledger import JobEnding
from workers.store.progress import Counts, read_progress
from workers.store.retention import purge
from workers.store.tables import batches, jobs, outcomes, standings

if TYPE_CHECKING:
    from workers.store import Store

FLAG = Flag(kind=FlagKind.OFF_TASK)


def report(deduction: float) -> dict[str, object]:
    errors = [f"error {number}" for number in range(int(deduction // 10))]
    return {"major_errors": errors, "minor_errors": [], "feedback": "fine", "total_deduction": deduction}


def graded(store: Store, **given: tuple[float | None, tuple[Flag, ...]]) -> Board:
    """A batch with these deductions (None: failed) and flags."""
    enqueue(store, [new_job(each) for each in given])
    in_order = publish(store)
    claims = claim(store, in_order)
    for job_id, (deduction, flags) in zip(in_order, given.values(), strict=True):
        job = claims[job_id]
        ending = failure(job)
        if deduction is not None:
            ending = JobEnding(
                job_id=job.id, batch_id=job.batch_id, round=job.round, claim=job.claim,
                outcome=Success(Answer(report(deduction))), model_answered="m", is_standin=False, flags=flags,
            )  # fmt: skip
        persist(store, ending=ending)
    return Board(JobClient(store=store, publisher=None, registry=builtin_registry(), provider="p"), "b")


def course(store: Store) -> Board:
    return graded(store, ada=(0, ()), Bob=(30, ()), cleo=(None, ()), dan=(10, (FLAG, FLAG)), eve=(20, ()))


def listed(board: Board, choice: Choice) -> list[str]:
    return [line.id for line in board.students(choice).rows]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), ["cleo", "dan", "ada", "Bob", "eve"]),
        (Choice(sort=SortBy.INPUT), ["ada", "Bob", "cleo", "dan", "eve"]),
        (Choice(sort=SortBy.LOWEST), ["ada", "dan", "eve", "Bob", "cleo"]),
        (Choice(sort=SortBy.HIGHEST), ["Bob", "eve", "dan", "ada", "cleo"]),
        (Choice(show=Show.FAILED), ["cleo"]),
        (Choice(show=Show.FLAGGED), ["dan"]),
        (Choice(flag=FlagKind.CANNOT_ASSESS), []),
        (Choice(search=" bO"), ["Bob"]),
        (Choice(search="%"), []),
    ],
)
def test_students_are_filtered_searched_and_sorted(store: Store, choice: Choice, expected: list[str]):
    assert listed(course(store), choice) == expected


NAMED: dict[str, dict[str, object]] = {
    "ada": {"name": "Ada Byron", "email": "ada.byron@uni.edu", "number": "4711", "note": "hidden"},
    "Bob": {"Student Name": "Åsa 100%", "E-mail Address": "BOB@uni.edu"},
    "cleo": {"First Name": "Cleo", "Last Name": "de la Cruz"},
}


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("byron", ["ada"]),
        ("Byron Ada", ["ada"]),
        ("ada.byron@", ["ada"]),
        ("4711", ["ada"]),
        ("bob@UNI", ["Bob"]),
        ("åsa", ["Bob"]),
        ("0%", ["Bob"]),
        ("cruz cleo", ["cleo"]),
        ("uni.edu", ["ada", "Bob"]),
        ("byron bob", []),
        ("hidden", []),
        ("dan", ["dan"]),
    ],
)
def test_students_are_found_by_name_and_address_where_these_are_stored(store: Store, search: str, expected: list[str]):
    board = course(store)
    with store.transaction() as connection:
        for item_id, metadata in NAMED.items():
            connection.execute(update(jobs).where(jobs.c.item_id == item_id).values(metadata=metadata))

    choice = Choice(search=search, sort=SortBy.INPUT)
    assert listed(board, choice) == expected
    if expected:
        _found, around = board.student(expected[-1], choice)
        assert around.total == len(expected), "the way to the next student follows the same search"
    names = {line.id: line.metadata.get("name") for line in board.students(Choice()).rows}
    assert names["ada"] == "Ada Byron"


def test_a_page_of_students_says_how_many_there_are_and_who_comes_next(store: Store):
    board = course(store)

    first = board.students(Choice(sort=SortBy.INPUT), at_most=1)
    page = board.students(Choice(sort=SortBy.INPUT), at=first.next, at_most=2)
    there = board.neighbours("Bob", Choice(sort=SortBy.INPUT))
    gone = board.neighbours("ada", Choice(show=Show.FAILED))

    assert [line.id for line in page.rows] == ["Bob", "cleo"]
    assert board.count_students(Choice(sort=SortBy.INPUT)) == 5
    assert (there.number, there.total, there.previous, there.next) == (2, 5, "ada", "cleo")
    assert (gone.number, gone.total, gone.previous, gone.next) == (0, 1, None, "cleo")


def test_a_whole_batch_is_counted_from_its_tallies_without_what_is_staging(store: Store):
    board = course(store)
    asked: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *found: asked.append(found[2]))
    assert board.count_students(Choice()) == 5
    assert any("FROM job_tallies" in each for each in asked)
    with store.transaction() as connection:  # as in an enqueue that was cancelled before it was complete
        connection.execute(update(batches).values(opened=3))
    assert board.count_students(Choice()) == 3


def test_what_people_decide_is_in_the_list_at_once_and_leaves_it_with_an_undo(store: Store):
    board, found = course(store), review(store)
    found.approve(["ada"], by="Kim")
    found.override("Bob", Correction(fields={"major_errors": '["a", "b"]'}), by="Lee", reason="seen by hand")
    found.hold(["eve"], by="Kim")
    found.release(["ada"], by="Kim")

    lines = {line.id: line for line in board.students(Choice()).rows}
    assert (lines["ada"].state, lines["ada"].points, lines["ada"].released) == (ReviewState.APPROVED, 0, True)
    assert (lines["Bob"].points, lines["Bob"].model_points, lines["Bob"].decided_by) == (20, 30, "Lee")
    assert listed(board, Choice(show=Show.UNDECIDED)) == ["cleo", "dan"]
    assert listed(board, Choice(show=Show.ON_HOLD)) == ["eve"]
    assert listed(board, Choice(show=Show.RELEASED)) == ["ada"]
    assert (board.glance().undecided, board.glance().review.released) == (2, 1)
    found.undo(["ada", "Bob"], by="Kim")
    assert listed(board, Choice(show=Show.UNDECIDED)) == ["cleo", "dan", "ada", "Bob"]
    assert listed(board, Choice(show=Show.CHANGED)) == ["ada"]
    assert {line.points for line in board.students(Choice(search="bob")).rows} == {30}


def test_standings_that_an_earlier_release_did_not_keep_are_made_again(store: Store):
    board, found = course(store), review(store)
    found.approve(["ada"], by="Kim")
    kept = board.students(Choice()).rows
    with store.transaction() as connection:
        connection.execute(delete(standings))

    assert board.glance().undecided == 4
    assert board.students(Choice()).rows == kept


def test_the_glance_counts_what_the_progress_counts(store: Store):
    board = course(store)
    enqueue(store, [new_job("fay")])

    glance = board.glance()

    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
    assert {each.name: getattr(glance, each.name) for each in fields(Counts)} == {
        each.name: getattr(progress, each.name) for each in fields(Counts)
    }
    assert glance.flags == {FlagKind.OFF_TASK: 1}


def test_charts_count_every_grade_once_the_official_one_where_there_is_one(store: Store):
    board = course(store)
    review(store).override("ada", Correction(fields={"major_errors": '["a", "b", "c"]'}), by="Kim", reason="by hand")

    charts = board.charts()

    assert (charts.grades.low, charts.grades.high, sum(charts.grades.values)) == (10, 30, 4)
    assert (charts.grades.values[0], charts.grades.values[-1]) == (1, 2)
    assert sum(charts.finished.values) == 5
    assert charts.cost_usd.values == ()
    assert len(board.charts(most_points=40).grades.starts) == len(charts.grades.values)


def test_no_part_of_the_page_asks_more_than_eight_queries_or_fetches_every_row(store: Store):
    size = 60
    board = graded(store, **{f"s{number:02}": (10.0, (FLAG,)) for number in range(size)})
    review(store).approve([f"s{number:02}" for number in range(40)], by="Kim")
    kept = KeptRubrics()
    board.students(Choice(), rubrics=kept)
    asked: list[str] = []
    fetched: list[object] = []

    def counted(_cursor: object, row: tuple[object, ...]) -> tuple[object, ...]:
        fetched.append(row)
        return row

    def counting(_connection: object, cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith(("SELECT ", "WITH ")) and "set_config" not in statement:
            asked.append(statement)
        if isinstance(cursor, sqlite3.Cursor):  # PostgreSQL is asked the same
            cursor.row_factory = counted

    event.listen(store.engine, "before_cursor_execute", counting)
    for part in (
        board.glance,
        board.charts,
        board.comparison,
        lambda: board.students(Choice(), rubrics=kept, at_most=5),
        lambda: board.students(Choice(sort=SortBy.LOWEST), rubrics=kept, at_most=5),
        lambda: board.count_students(Choice(show=Show.UNDECIDED)),
        lambda: board.student("s30", Choice(), rubrics=kept),
    ):
        asked.clear()
        fetched.clear()
        part()
        assert 1 <= len(asked) <= 8
        assert len(fetched) < size
    event.remove(store.engine, "before_cursor_execute", counting)
    assert len(board.students(Choice(), at_most=5).rows) == 5


def test_a_purge_leaves_no_grade_in_what_lists_read(store: Store):
    board = course(store)
    review(store).approve(["ada", "Bob"], by="Kim")
    with store.transaction() as connection:
        connection.execute(update(batches).values(created_at=0.0))

    purge(store, older_than_seconds=-60)

    assert {line.points for line in board.students(Choice()).rows} == {None}
    with store.snapshot() as connection:
        assert connection.execute(outcomes.select().where(outcomes.c.points.is_not(None))).all() == []


@pytest.mark.parametrize("sort", list(SortBy))
def test_pages_and_neighbours_are_the_one_list_cut_up_whichever_way_it_is_read(store: Store, sort: SortBy):
    given = {
        f"s{number:02}": (None if number % 7 == 3 else number * 37 % 60 // 10 * 10, (FLAG,) if number % 5 == 2 else ())
        for number in range(23)
    }
    board, found = graded(store, **given), review(store)
    found.approve(["s00", "s01", "s09"], by="Kim")
    found.override("s10", Correction(fields={"total_deduction": "15"}), by="Kim", reason="on paper")
    found.hold(["s03", "s04"], by="Kim")
    with store.transaction() as connection:  # decided, then graded again
        connection.execute(
            update(standings).where(standings.c.decided_by == "Kim", standings.c.points == 0).values(round=0)
        )
    rubric = {"criteria": [{"max_points": 60}], "overall_bands": [{"score_min": 0}, {"score_min": 30}]}
    save_context(store, context_hash="r", content=rubric)
    with store.transaction() as connection:
        connection.execute(update(jobs).where(jobs.c.item_id < "s20").values(context_hash="r"))

    for show in (Show.ALL, Show.UNDECIDED, Show.FAILED):
        choice = Choice(show=show, sort=sort)
        whole = [line.id for line in board.students(choice, at_most=99).rows]
        assert len(whole) == board.count_students(choice)
        pages = [board.students(choice, at_most=4)]
        while (behind := pages[-1].next) is not None:
            pages.append(board.students(choice, at=behind, at_most=4))
        assert [line.id for page in pages for line in page.rows] == whole
        for number in range(len(pages) - 1, 0, -1):
            back = board.students(choice, at=pages[number].previous, at_most=4)
            assert [line.id for line in back.rows] == [line.id for line in pages[number - 1].rows]
        around = [board.neighbours(item_id, choice) for item_id in whole]
        assert [each.previous for each in around] == [None, *whole[:-1]]
        assert [each.next for each in around] == [*whole[1:], None]
        assert [each.number for each in around] == list(range(1, len(whole) + 1))
