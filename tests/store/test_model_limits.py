"""Limits that a person sets for a model: kept, changed one by one, and an account's own before those for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.steps import enqueue
from workers.contract.errors import InvalidInput
from workers.store.gates import read_gate
from workers.store.model_limits import ModelLimits, limits_of_account, read_limits, set_limits
from workers.store.weights import read_weights, set_weight

if TYPE_CHECKING:
    from workers.store import Store


def test_what_is_not_given_stays_and_zero_takes_a_limit_away(store: Store):
    with store.transaction() as connection:
        set_limits(connection, "m", requests_per_minute=600)
        now = set_limits(connection, "m", calls_in_flight=8)
        assert now == ModelLimits(model="m", requests_per_minute=600, calls_in_flight=8)
        assert read_limits(connection) == [now]
        assert set_limits(connection, "m", requests_per_minute=0) == ModelLimits(model="m", calls_in_flight=8)
        set_limits(connection, "m", calls_in_flight=0)
        assert read_limits(connection) == []
        with pytest.raises(InvalidInput, match="whole number"):
            set_limits(connection, "m", tokens_per_minute=-1)


def test_an_accounts_own_limits_come_before_those_for_all(store: Store):
    with store.transaction() as connection:
        set_limits(connection, "m", requests_per_minute=600)
        set_limits(connection, "m", account="p", requests_per_minute=60)
        set_limits(connection, "n", account="q", tokens_per_minute=1000)
        assert limits_of_account(connection, "p") == {"m": ModelLimits(model="m", account="p", requests_per_minute=60)}
        assert set(limits_of_account(connection, "q")) == {"m", "n"}


def test_a_weight_is_one_until_it_is_set(store: Store):
    batch = enqueue(store, 1).batch.id
    with store.transaction() as connection:
        assert read_weights(connection, [batch]) == {}
        assert read_gate(connection, "b").weight == 1.0
        set_weight(connection, batch, 3.0)
        set_weight(connection, batch, 2.0)
        assert read_weights(connection, [batch]) == {batch: 2.0}
        assert read_gate(connection, "b").weight == 2.0
        for wrong in (0.0, -1.0, float("nan"), 1000.0):
            with pytest.raises(InvalidInput, match="between"):
                set_weight(connection, batch, wrong)
