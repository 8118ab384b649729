from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with, data_dir_option, json_option, kind_option, steered_account_option
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from producer.local.steering import Steered
    from workers.store import Store
    from workers.store.pauses import PauseScope

NEXT = "run a worker, or the `gradequeue run` command of the batch"


@command_with("gradequeue resume", "gradequeue resume week3-1f2e3d4c", "gradequeue resume week3-1f2e3d4c --max-cost 12")
@click.argument("name", required=False)
@kind_option
@steered_account_option
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="USD",
    help="Raise the spend cap of the batch NAME to this.",
)
@json_option
@data_dir_option
def resume(
    name: str | None,
    *,
    kind: str | None,
    account: str | None,
    max_cost: float | None,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Resume what waits: NAME (a batch, model, account or queue), or every parked account.

    NAME was paused; or it is a batch that waits after a pilot, after its first jobs failed alike, or at its spend cap,
    which --max-cost raises; or a parked account. Without NAME: every parked account, after credit or key was fixed, and
    days whose cap is spent; pauses stay. `gradequeue status` shows what waits, and why.
    """
    from producer.cli.session import opened_store
    from producer.cli.steering import meant, print_steered

    if max_cost is not None and name is None:
        raise InvalidInput("--max-cost raises the cap of one batch; name it")
    with opened_store(data_dir) as store:
        if name is None and account is None:
            _resume_accounts(store, as_json=as_json)
            return
        kind = "batch" if max_cost is not None and kind is None else kind
        steered = _resume(store, *meant(store, data_dir, name, kind, account), max_cost, data_dir)
    target = steered.target
    line = f"resumed: {target}; {NEXT}" if steered.has_changed else f"nothing holds back {target}"
    print_steered(steered, line, is_paused=False, as_json=as_json)


def _resume_accounts(store: Store, *, as_json: bool) -> None:
    import json

    from producer.terminal.console import out, write_data
    from workers.store.day_caps import resume_days
    from workers.store.parks import resume_account

    with store.transaction() as connection:
        accounts = resume_account(connection)
        days = resume_days(connection)
    resumed = list(dict.fromkeys([*accounts, *days]))
    if as_json:
        write_data(json.dumps({"kind": "account", "resumed": resumed}, ensure_ascii=False) + "\n")
        return
    out.print(f"resumed: {', '.join(resumed)}; {NEXT}" if resumed else "no account is parked")


def _resume(
    store: Store, name: str, scope: PauseScope | None, max_cost: float | None, data_dir: Path | None
) -> Steered:
    from producer.batch import Batch
    from producer.inputs.prices import PriceCheck
    from producer.local.accounts import settings_of_batch
    from producer.local.steering import resume_target
    from workers.contract.model_profile import load_profiles
    from workers.settings import load_settings

    settings = load_settings(data_dir=data_dir)
    if max_cost is not None:
        settings = settings_of_batch(settings, Batch(store, name).overview().provider)
    profiles, host = load_profiles(settings.model_profiles), settings.provider_host
    prices = PriceCheck(lambda model: profiles.find(model, host), settings.provider)
    return resume_target(store, name, scope=scope, max_cost_usd=max_cost, prices=prices)
