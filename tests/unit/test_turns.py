"""Whose turn it is: shares by weight, no debt and no credit for who comes or comes back, and rooms that are kept."""

from __future__ import annotations

from collections import Counter

import pytest

from workers.store.turns import Candidate, Room, Turns

NO_BOUND = Room(models={}, batches={})


def candidate(batch_id: int, weight: float = 1.0, model: str = "m") -> Candidate:
    return Candidate(batch_id=batch_id, opened=9, model=model, weight=weight, is_pilot=False, is_unproven=False)


def served(turns: Turns, candidates: list[Candidate], *, rounds: int, each: int) -> Counter[int]:
    counts: Counter[int] = Counter()
    for _ in range(rounds):
        room = Room(models={"m": each}, batches={})
        counts.update(candidates[place].batch_id for place in turns.choose(candidates, room, at_most=500))
    return counts


@pytest.mark.parametrize("each", [1, 7, 50])
@pytest.mark.parametrize("weight", [1.0, 3.0, 0.5])
def test_batches_share_by_weight_however_few_may_start_in_a_round(weight: float, each: int):
    counts = served(Turns(), [candidate(1, weight), candidate(2)], rounds=400, each=each)
    assert counts[1] / counts[2] == pytest.approx(weight, rel=0.01)


def test_a_newcomer_starts_where_the_others_are():
    turns, large, small = Turns(), candidate(1), candidate(2)
    served(turns, [large], rounds=100, each=100)
    assert served(turns, [large, small], rounds=20, each=2) == {1: 20, 2: 20}

    served(turns, [large], rounds=100, each=100)
    assert served(turns, [large, small], rounds=20, each=2) == {1: 20, 2: 20}, "its absence gave it no credit"


def test_jobs_of_two_batches_alternate():
    places = Turns().choose([candidate(1), candidate(2)], NO_BOUND, at_most=6)
    assert places == [0, 1, 0, 1, 0, 1]


def test_models_and_first_jobs_have_their_rooms_and_the_models_of_one_batch_share_its_turn():
    one, other, alone = candidate(1, model="a"), candidate(1, model="b"), candidate(2, model="b")
    room = Room(models={"a": 3}, batches={2: 1})
    places = Turns().choose([one, other, alone], room, at_most=8)
    assert Counter(places) == {0: 3, 1: 4, 2: 1}
    assert (room.models, room.batches) == ({"a": 0}, {2: 0})


def test_what_was_not_there_is_given_back():
    turns, room = Turns(), Room(models={"m": 4}, batches={})
    both = [candidate(1), candidate(2)]
    turns.choose(both, room, at_most=4)
    turns.give_back(both[0], room, 2)
    assert room.models == {"m": 2}
    assert turns.choose(both, room, at_most=9) == [0, 1], "the room alone: the batch did not gain on the other"
