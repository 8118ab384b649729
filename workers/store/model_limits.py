"""Limits by model that a person sets while workers run; every worker reads them each second. Kept over restarts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from workers.contract.errors import InvalidInput
from workers.contract.job import check_name
from workers.store.control_tables import model_limits
from workers.store.sql import upsert
from workers.store.tables import now_seconds

if TYPE_CHECKING:
    from sqlalchemy import Connection

EVERY_ACCOUNT = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """What a person allows a model, over all workers; None is no limit of theirs."""

    model: str
    account: str = EVERY_ACCOUNT
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    calls_in_flight: int | None = None

    def as_json(self) -> dict[str, object]:
        """Every field by name; the account of a limit for all is null."""
        return asdict(self) | {"account": self.account or None}


def set_limits(
    connection: Connection,
    model: str,
    *,
    account: str = EVERY_ACCOUNT,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    calls_in_flight: int | None = None,
) -> ModelLimits:
    """Set those given, keep the others; 0 takes one away. Returns what holds now. Effective within two seconds."""
    check_name("model", model)
    given = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "calls_in_flight": calls_in_flight,
    }
    if any(value is not None and value < 0 for value in given.values()):
        raise InvalidInput("a limit is a whole number, or 0 for none")
    before = {(each.account, each.model): each for each in read_limits(connection)}.get((account, model))
    kept = {name: getattr(before, name, None) if value is None else value or None for name, value in given.items()}
    is_row = (model_limits.c.account == account) & (model_limits.c.model == model)
    if not any(kept.values()):
        connection.execute(delete(model_limits).where(is_row))
    else:
        values = {**kept, "set_at": now_seconds()}
        connection.execute(upsert(connection, model_limits, key={"account": account, "model": model}, values=values))
    return ModelLimits(model=model, account=account, **kept)


def read_limits(connection: Connection) -> list[ModelLimits]:
    """All of them, by account and model."""
    rows = connection.execute(select(model_limits).order_by(model_limits.c.account, model_limits.c.model))
    return [
        ModelLimits(
            model=row.model,
            account=row.account,
            requests_per_minute=row.requests_per_minute,
            tokens_per_minute=row.tokens_per_minute,
            calls_in_flight=row.calls_in_flight,
        )
        for row in rows
    ]


def limits_of_account(connection: Connection, account: str) -> dict[str, ModelLimits]:
    """Model -> what holds for it at this account: its own row, else that for every account."""
    rows = [each for each in read_limits(connection) if each.account in {EVERY_ACCOUNT, account}]
    return {each.model: each for each in rows}  # "" sorts first, so the account's own row wins
