"""What to read first, and what thirty hand grades say about the grades that nobody reads."""

from __future__ import annotations

import random

import pytest

from producer.review.neighbours import outliers
from producer.review.unread import Graded, read_so_many, read_until


def order(errors: list[float], *, every: int = 4, read: tuple[int, ...] = ()) -> list[Graded]:
    """Items of a course; every so many are graded by hand."""
    return [
        Graded(f"s{place}", error if place % every == 0 else None, is_read=place in read)
        for place, error in enumerate(errors)
    ]


def test_errors_of_all_or_nothing_have_exactly_the_hypergeometric_bound():
    """At most so many are off: the greatest number under which so few in the sample are not improbable (10 %)."""
    from scipy.stats import hypergeom  # costs every process that collects half a second

    size, wrong = 200, {0, 40, 80}
    items = order([1.0 if place in wrong else 0.0 for place in range(size)])
    sampled = size // 4
    exact = max(k for k in range(size) if hypergeom.cdf(len(wrong), size, k, sampled) > 0.1)

    found = read_so_many(items, 0, tolerance=1.0)

    assert found.to_read == ()
    assert (found.unread, found.calibrated_by) == (150, 50)
    assert abs(found.most_off - (exact - len(wrong))) <= 1


def test_no_error_among_the_hand_grades_is_no_proof_of_none():
    found = read_so_many(order([0.0] * 120), 10, tolerance=1.0)

    assert found.unread == 80
    assert 0.02 < found.mean <= 0.1
    assert 1 <= found.most_off <= 8


def test_a_rare_great_error_counts_up_to_the_tolerance():
    small, great = ([error, *[0.0] * 119] for error in (1.0, 20.0))

    assert read_so_many(order(small), 0, tolerance=1.0) == read_so_many(order(great), 0, tolerance=1.0)


def test_the_most_doubtful_are_read_until_what_is_left_is_small_enough():
    errors = [3.0] * 40 + [0.0] * 160
    found = read_until(order(errors), 0.1 * 200, tolerance=1.0)

    assert found.to_read[:3] == ("s1", "s2", "s3")
    assert 15 <= len(found.to_read) <= 70
    assert found.mean <= 0.1 * 200 / found.unread
    assert read_until(order(errors), 200.0, tolerance=1.0).to_read == ()
    everything = read_until(order(errors), 0.0, tolerance=1.0)
    assert (everything.unread, everything.mean, everything.most_off) == (0, 0.0, 0)


def test_who_was_read_already_is_neither_listed_nor_unread():
    found = read_so_many(order([0.0] * 40, read=(1, 2, 30)), 2, tolerance=1.0)

    assert found.to_read == ("s3", "s5")
    assert found.unread == 40 - 10 - 3 - 2
    assert read_so_many(order([0.0] * 40), 99, tolerance=1.0).unread == 0


def test_the_same_grades_give_the_same_list():
    items = order([float(place % 5) for place in range(100)])

    assert read_until(items, 20.0, tolerance=1.0) == read_until(items, 20.0, tolerance=1.0)


def program(changed: str = "", seed: int = 1) -> str:
    names = ["total", "left", "right", "item", "value", "index", "node"]
    words = random.Random(seed).choices(names, k=80)  # noqa: S311 - text of a made-up program
    return "def solve(values):\n" + "".join(f"    {word} = {word} + {n}\n" for n, word in enumerate(words)) + changed


def test_a_grade_far_from_those_of_nearly_the_same_works_is_an_outlier():
    works = [(f"s{number}", program(f"    return {number}\n")) for number in range(5)]
    works += [(f"t{number}", program(seed=number + 10)) for number in range(20)]
    grades = {item_id: 18.0 for item_id, _text in works} | {"s3": 11.0, "t4": 3.0}

    found = outliers(works, grades, scale=20.0)

    assert list(found) == ["s3"]
    assert (found["s3"].expected, found["s3"].neighbours, found["s3"].share) == (18.0, 4, 0.35)


@pytest.mark.parametrize("works", [[], [("a", "")], [("a", "x"), ("b", "x"), ("c", "x")]])
def test_works_too_short_to_compare_have_no_neighbours(works: list[tuple[str, str]]):
    assert outliers(works, {"a": 1.0, "b": 9.0, "c": 9.0}, scale=10.0) == {}
    assert outliers(works, {"a": 1.0, "b": 9.0, "c": 9.0}, scale=0.0) == {}
