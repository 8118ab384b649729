"""The order of reading: one for commands and the page, with every reason counted and told in both."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sqlalchemy import event, insert, update

from producer.review.glance import KeptRubrics, SortBy, reasons_to_read
from producer.review.reading_order import ReadingOrder
from tests.store.test_page_reads import graded
from tests.store.test_review import review
from workers.contract.decision import Official
from workers.contract.flag import Flag, FlagKind
from workers.store.decisions import read_officials
from workers.store.enqueue import save_context
from workers.store.overviews import find_batch
from workers.store.student_choice import Choice, Sign
from workers.store.tables import attempts, decisions, jobs, outcomes, standings
from workers.store.work_comparisons import Outlier, keep_outliers, read_stamp

if TYPE_CHECKING:
    from producer.review.glance import Board
    from workers.store import Store

STUDENTS = 40
WORK = "total = 0 for each in grades : total += each print ( total / len ( grades ) ) # the mean of all grades"


def a_course_with_every_reason(store: Store) -> Board:
    chance = random.Random(17)  # noqa: S311 - a course
    given: dict[str, tuple[float | None, tuple[Flag, ...]]] = {
        f"s{number:02}": (
            None if chance.random() < 0.1 else chance.choice([0, 10, 20, 30, 40]),
            tuple(Flag(kind=chance.choice(list(FlagKind))) for _ in range(chance.choice([0, 0, 0, 1, 2]))),
        )
        for number in range(STUDENTS)
    }
    board, found = graded(store, **given), review(store)
    found.approve(["s01", "s02", "s03"], by="Kim")
    for name, start in (("low", 10), ("high", 40)):
        bands = [{"score_min": 0}, {"score_min": start}]
        save_context(store, context_hash=name, content={"criteria": [{"max_points": 40}], "overall_bands": bands})
    with store.transaction() as connection:
        batch_id = find_batch(connection, "b").id
        stamp = read_stamp(connection, batch_id)
        rows = connection.execute(jobs.select().order_by(jobs.c.position)).all()
        for row in rows:
            of_job = update(jobs).where(jobs.c.id == row.id)
            connection.execute(of_job.values(context_hash=chance.choice([None, "low", "high"])))
        for of_decision in (standings, decisions):
            connection.execute(update(of_decision).where(of_decision.c.job_id == rows[2].id).values(round=0))
        repaired = [row.id for row in rows if chance.random() < 0.2]
        connection.execute(insert(attempts), [_repair(job_id, batch_id) for job_id in repaired])
    far = {row.id: (row.round - (row.position % 4 == 0), Outlier(30.0, 3, 0.25)) for row in rows[:12]}
    keep_outliers(store, batch_id, far, stamp, method=1)
    return board


def _repair(job_id: str, batch_id: int) -> dict[str, object]:
    return {
        "id": f"r{job_id}"[:32], "job_id": job_id, "batch_id": batch_id, "round": 1, "claim": 1, "worker_id": "w",
        "purpose": "repair", "model": "m", "opened_at": 0.0, "prompt_tokens": 1, "completion_tokens": 1,
        "cached_tokens": 0, "reasoning_tokens": 0,
    }  # fmt: skip


def test_commands_and_the_page_list_one_order_for_the_same_reasons(store: Store):
    board = a_course_with_every_reason(store)

    order = ReadingOrder(review(store))
    lines = board.students(Choice(), at_most=99).rows

    assert [line.id for line in lines] == [item.id for item in order.items]
    told = {doubt.item.row.id: doubt for doubt in order.doubts([line.id for line in lines])}
    kinds = set()
    for line, item in zip(lines, order.items, strict=True):
        assert sum(reason.weight for reason in line.reasons) == item.doubt, line.id
        assert told[line.id].weight == item.doubt
        if len({*line.flags}) == len(told[line.id].item.row.flags):  # a page says each kind once, and not how often
            assert told[line.id].reasons == tuple(reason.text for reason in line.reasons)
        kinds |= {reason.sign for reason in line.reasons}
    assert kinds == set(Sign) - {Sign.OTHER_GRADING}
    keys = [(-item.doubt, line.position) for line, item in zip(lines, order.items, strict=True)]
    assert keys == sorted(keys)


def test_a_student_is_told_the_reasons_of_the_list(store: Store):
    board = a_course_with_every_reason(store)

    for line in board.students(Choice(), at_most=99).rows:
        found, _around = board.student(line.id, Choice())
        with store.snapshot() as connection:
            official = read_officials(connection, "b", [line.id]).get(line.id)
        reasons = reasons_to_read(found, official or Official())
        assert {each.sign for each in reasons} == {each.sign for each in line.reasons}


def test_works_are_compared_once_and_what_that_found_counts_on_the_page_too(store: Store):
    board = graded(store, **{f"s{number}": (0, ()) for number in range(4)}, odd=(40, ()))
    with store.transaction() as connection:
        connection.execute(update(jobs).where(jobs.c.item_id.in_(["s2", "s3", "odd"])).values(prompt=WORK))
    assert not board.comparison().is_current
    assert board.students(Choice()).rows[0].id == "s0"

    ReadingOrder(review(store))

    first = board.students(Choice()).rows[0]
    assert (first.id, [each.text for each in first.reasons]) == ("odd", ["2 works nearly the same have about 0"])
    known = board.comparison()
    assert known.is_current
    read: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *found: read.append(found[2]))
    board.compare_works()
    assert not any("prompt" in each for each in read), "nothing has ended since"

    with store.transaction() as connection:
        connection.execute(update(outcomes).where(outcomes.c.points == 40).values(finished_at=9e9, points=0))
    assert not board.comparison().is_current
    board.compare_works()
    assert board.students(Choice()).rows[0].id == "s0"


def test_rubrics_are_read_again_only_after_jobs_were_added(store: Store):
    board, kept = a_course_with_every_reason(store), KeptRubrics()
    read: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *found: read.append(found[2]))

    def asked(opened: int) -> int:
        read.clear()
        with store.snapshot() as connection:
            kept.doubts(connection, "b", opened)
        return sum("FROM contexts" in each for each in read)

    assert [asked(opened) for opened in (40, 40, 41, 41)] == [1, 0, 1, 0]
    assert kept.most_points("low") == 40
    assert {line.most_points for line in board.students(Choice(sort=SortBy.NAME), rubrics=kept).rows} == {40, None}
