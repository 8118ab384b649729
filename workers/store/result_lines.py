"""Results as lines of JSON, straight from the rows: what `ResultRow.as_line` has, without making objects of it.

A value that is JSON in the store is copied as its text, so a line costs a few microseconds. A test holds the two forms
equal.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring as text
from typing import TYPE_CHECKING, Any

from workers.store.json_text import Repeated, as_stored, quoted
from workers.store.result_pages import cost_of, result_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row

    from workers.contract.flag import Flag
    from workers.store.result_pages import ResultPage, Wanted

_NOTHING_SPENT = (
    '{"prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0, '
    '"reasoning_tokens": 0}, "cost_usd": 0.0, "attempts": 0'
)


def read_result_lines(connection: Connection, name: str, wanted: Wanted) -> Iterator[str]:
    """One JSON object a line for each of these jobs, in input order, with its end of line."""
    for page in result_pages(connection, name, wanted):
        yield from _lines(page)


def _lines(page: ResultPage) -> list[str]:
    spending = {position: _spent(row) for position, row in page.spending.items()}
    batch, provider, same = text(page.batch), text(page.provider), Repeated(quoted)
    return [
        f'{{"id": {text(item_id)}, "job_id": {text(job_id)}, "batch": {batch}, "round": {job_round}, '
        f'"state": {same[state]}, "schema": {same[schema]}, "schema_fingerprint": {same[fingerprint]}, '
        f'"prompt_hash": {text(prompt_hash)}, "provider": {provider}, "model": {same[model]}, '
        f'"model_answered": {same[answered]}, {ended_text(result, failure_kind, failure_message)}, '
        f'"same_as": {quoted(same_as)}, "provenance": {as_stored(provenance)}, '
        f'"flags": {flags_text(page.flags_of(job_id, job_round)) if page.flags else "[]"}, '
        f'"usage": {spending.get(position, _NOTHING_SPENT)}, "metadata": {as_stored(metadata)}'
        f"{marks(is_standin=is_standin, is_purged=is_purged) if is_standin or is_purged else ''}}}\n"
        for (
            position, job_id, item_id, job_round, state, schema, fingerprint, prompt_hash, model, _context, metadata,
            result, failure_kind, failure_message, answered, is_standin, same_as, provenance, is_purged,
        ) in page.rows
    ]  # fmt: skip


def ended_text(result: str | None, failure_kind: str | None, failure_message: str | None) -> str:
    """A line's field with the result, or with the failure."""
    if failure_kind is None:
        return f'"result": {as_stored(result)}'
    return f'"failure": {{"kind": {text(failure_kind)}, "message": {quoted(failure_message)}}}'


def _spent(row: Row[*tuple[Any, ...]]) -> str:
    _position, attempts, _answered, prompt, completion, cached, cache_write, reasoning, *_cost = row
    return (
        f'{{"prompt_tokens": {prompt or 0}, "completion_tokens": {completion or 0}, "cached_tokens": {cached or 0}, '
        f'"cache_write_tokens": {cache_write or 0}, "reasoning_tokens": {reasoning or 0}}}, '
        f'"cost_usd": {number(cost_of(row))}, "attempts": {attempts}'
    )


def number(value: float | None) -> str:
    """A number or nothing as a JSON value."""
    return "null" if value is None else repr(value)


def flags_text(flags: Sequence[Flag]) -> str:
    """A list of flags as a JSON value."""
    return json.dumps([flag.as_json() for flag in flags], ensure_ascii=False) if flags else "[]"


def marks(*, is_standin: bool | int | None, is_purged: bool | int) -> str:
    """The last fields of a line, which most lines have not."""
    return (', "standin": true' if is_standin else "") + (', "purged": true' if is_purged else "")
