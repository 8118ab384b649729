from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from producer.cli.options import command_with, data_dir_option, json_option
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from workers.store.model_limits import ModelLimits

whole = click.IntRange(min=0)


@command_with(
    "gradequeue limits",
    "gradequeue limits gpt-6.1-terra --rpm 600 --in-flight 50",
    "gradequeue limits gpt-6.1-terra --rpm 0",
    "gradequeue limits week3-1f2e3d4c --weight 3",
)
@click.argument("name", required=False)
@click.option("--rpm", "requests_per_minute", type=whole, metavar="N", help="Requests a minute; 0: as the provider.")
@click.option("--tpm", "tokens_per_minute", type=whole, metavar="N", help="Tokens a minute; 0: as the provider.")
@click.option("--in-flight", "calls_in_flight", type=whole, metavar="N", help="Calls at once; 0: no limit.")
@click.option("--weight", type=click.FloatRange(0.01, 100), metavar="N", help="Share of the batch NAME in its queue.")
@click.option("--account", default="", help="Of one account alone [default: every account].")
@json_option
@data_dir_option
def limits(
    name: str | None,
    *,
    weight: float | None,
    account: str,
    as_json: bool,
    data_dir: Path | None,
    **given: int | None,
) -> None:
    """Set limits of a model, or the weight of a batch, while workers run; or list them.

    They hold over all workers within two seconds, beside the provider's own, and over restarts. What is left out stays.
    """
    from producer.cli.session import opened_store
    from producer.local.accounts import account_meant
    from workers.settings import load_settings
    from workers.store.model_limits import EVERY_ACCOUNT, read_limits, set_limits

    is_given = any(value is not None for value in given.values())
    if (is_given or weight is not None) and name is None:
        raise InvalidInput("name the model whose limits, or the batch whose weight, is to change")
    if is_given and weight is not None:
        raise InvalidInput("--weight is a batch's, the other limits are a model's; set one after the other")
    with opened_store(data_dir) as store:
        if weight is not None and name is not None:
            from producer.batch import Batch

            Batch(store, name).set_weight(weight)
            _print_weight(name, weight, as_json=as_json)
            return
        with store.transaction() as connection:
            if account:
                account = account_meant(connection, load_settings(data_dir=data_dir), account)
            if is_given and name is not None:
                set_limits(connection, name, account=account, **given)
            found = [
                each
                for each in read_limits(connection)
                if name in {None, each.model} and account in {EVERY_ACCOUNT, each.account}
            ]
    _print(found, as_json=as_json)


def _print_weight(name: str, weight: float, *, as_json: bool) -> None:
    import json

    from producer.terminal.console import out, write_data

    if as_json:
        write_data(json.dumps({"batch": name, "weight": weight}, ensure_ascii=False) + "\n")
    else:
        out.print(f"{name}: weight {weight:g}", soft_wrap=True)


def _print(found: Iterable[ModelLimits], *, as_json: bool) -> None:
    import json

    from producer.terminal.console import out, write_data
    from producer.terminal.notices import limits_line

    lines: list[Any] = list(found)
    if as_json:
        for each in lines:
            write_data(json.dumps(each.as_json(), ensure_ascii=False) + "\n")
        return
    for each in lines:
        out.print(limits_line(each), soft_wrap=True)
    if not lines:
        out.print("no limits are set here; the provider's own hold (gradequeue status)")
