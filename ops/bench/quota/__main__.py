"""How much of a provider's quota becomes answers, counted by the provider.

    python -m ops.bench.quota                                    one drain at RPM 3,000, about half a minute
    python -m ops.bench.quota --peers                            beside bare gather and Celery's own retries
    python -m ops.bench.quota --tpm 1000000 --rpm 0 --processes 4 --latency-ms 200-15000 --no-charge-refused
    python -m ops.bench.quota --move 10:rpm=1500 --move 20:rpm=3000 --move 30:foreign=0.3 --jobs 2000
    python -m ops.bench.quota --cold --jobs 300 --latency-ms 10000-30000     beside one that was told the limits
    python -m ops.bench.quota --matrix                           every combination; takes an hour

Prints one line per contender and one JSON object; --curve FILE.svg draws served per second. Everything runs on this
machine: the stand-in, the workers and their broker share its cores, which bounds the rates that make sense.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import tempfile
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ops.bench.processes import broker, standin
from ops.bench.quota.contenders import NAMES, UNGATED, start_of
from ops.bench.quota.curve import draw
from ops.bench.quota.measure import Drain, measure
from ops.bench.quota.scenario import Move, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.bench.processes import Standin

POLL_SECONDS = 0.05
TPM_OF_THE_MATRIX = 3_000_000


def main() -> None:
    """Run what was asked for."""
    options = _options()
    scenarios = list(_matrix(options)) if options.matrix else [_scenario(options)]
    if options.cold:
        _print_cold(scenarios[0], options)
        return
    drains: list[Drain] = []
    for scenario in scenarios:
        names = NAMES if options.peers else options.only or NAMES[:1]
        drains = [_run(name, scenario, limit_seconds=options.limit_seconds) for name in names]
        _print(scenario, drains)
    if options.curve:
        draw(drains, options.curve, title=_title(scenarios[-1]))


def _print_cold(scenario: Scenario, options: argparse.Namespace) -> None:
    """A start without a word about the limits, one that was told them, and one whose first jobs hold up no others."""
    known = replace(scenario, is_known=True)
    starts = ((NAMES[0], scenario), (NAMES[0], known), (UNGATED, known))
    cold, told, ungated = (_run(name, start, limit_seconds=options.limit_seconds) for name, start in starts)
    _print(scenario, [cold])
    _print(known, [told, ungated])
    ratios = {
        "cold_over_known": cold.seconds / told.seconds,
        "cold_over_ungated": cold.seconds / ungated.seconds,
        "known_over_ungated": told.seconds / ungated.seconds,
        "cold_over_ideal": cold.seconds / cold.ideal_seconds,
    }
    print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()} | {"refused": cold.refused}))


def _run(name: str, scenario: Scenario, *, limit_seconds: float) -> Drain:
    with (
        tempfile.TemporaryDirectory(prefix="gradequeue-quota-") as folder,
        standin(*scenario.standin_options()) as provider,
        broker() as broker_url,
    ):
        start = start_of(name, scenario, base_url=provider.base_url, broker_url=broker_url, folder=Path(folder))
        ended = threading.Event()
        mover = threading.Thread(target=_move, args=(provider, scenario, ended), daemon=True)
        mover.start()
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(start.command, env=start.environment, stdout=output, stderr=output)
            try:
                process.wait(limit_seconds)
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait()
        ended.set()
        mover.join()
        stats = provider.stats()
        if not stats["answered"]:
            raise SystemExit(f"{name} answered nothing:\n{log.read_text()[-2000:]}")
        began = min(int(second) for account in stats["accounts"] for second in account["by_second"])
        return measure(
            name,
            stats,
            jobs=scenario.jobs,
            unit=scenario.unit,
            slice_seconds=scenario.slice_seconds,
            available=lambda second: scenario.available(second - began),
            changes=[began + move.at_seconds for move in scenario.moves],
        )


def _move(provider: Standin, scenario: Scenario, ended: threading.Event) -> None:
    """Change the provider at the given times, counted from its first admitted call."""
    while scenario.moves and not provider.stats()["admitted"]:
        if ended.wait(POLL_SECONDS):
            return
    passed = 0.0
    for move in scenario.moves:
        if ended.wait(move.at_seconds - passed):
            return
        passed = move.at_seconds
        changes = {name: value for name, value in asdict(move).items() if name != "at_seconds" and value is not None}
        provider.configure(**changes)


def _matrix(options: argparse.Namespace) -> Iterator[Scenario]:
    base = _scenario(options)
    limits = (replace(base, rpm=3000), replace(base, rpm=6000), replace(base, rpm=None, tpm=TPM_OF_THE_MATRIX))
    for limited, processes, charged, latency in itertools.product(
        limits, (1, 2, 4), (True, False), ("200", "1000-3000", "15000")
    ):
        # by Little's law a rate times its latency is in flight; twice that never binds
        seconds = float(latency.split("-")[-1]) / 1000
        in_flight = max(50, int(100 * seconds * 2 / processes))
        yield replace(limited, processes=processes, charge_refused=charged, latency_ms=latency, in_flight=in_flight)


def _print(scenario: Scenario, drains: list[Drain]) -> None:
    print(_title(scenario))
    print(f"  {'':12} utilisation  429 per 1,000  drain/ideal  lost  recovery")
    for drain in drains:
        used = "      -" if drain.utilisation is None else f"{drain.utilisation:7.1%}"
        back = ", ".join("never" if seconds is None else f"{seconds:.0f} s" for seconds in drain.recovery_seconds)
        print(
            f"  {drain.contender:12} {used}      {drain.refused_per_thousand:9.1f}      "
            f"{drain.seconds / drain.ideal_seconds:6.2f}     {drain.lost:5d}  {back}"
        )
    print(json.dumps({"scenario": asdict(scenario), "drains": [asdict(drain) for drain in drains]}), flush=True)


def _title(scenario: Scenario) -> str:
    limit = f"TPM {scenario.tpm:,}" if scenario.tpm else f"RPM {scenario.rpm:,}"
    return (
        f"{limit}, slices of {scenario.slice_seconds:g} s, {scenario.jobs:,} jobs, {scenario.processes} processes, "
        f"latency {scenario.latency_ms} ms, refused calls {'' if scenario.charge_refused else 'not '}charged"
    )


def _scenario(options: argparse.Namespace) -> Scenario:
    return Scenario(
        jobs=options.jobs,
        rpm=options.rpm or None,
        tpm=options.tpm or None,
        slice_seconds=options.slice_seconds,
        latency_ms=options.latency_ms,
        charge_refused=options.charge_refused,
        processes=options.processes,
        in_flight=options.in_flight,
        max_tokens=options.max_tokens,
        streaming=options.streaming,
        limit_headers=options.limit_headers,
        moves=tuple(options.move),
    )


def _read_move(text: str) -> Move:
    at, _, change = text.partition(":")
    name, _, value = change.partition("=")
    match name:
        case "rpm":
            return Move(float(at), rpm=int(value))
        case "tpm":
            return Move(float(at), tpm=int(value))
        case "foreign":
            return Move(float(at), foreign_share=float(value))
    raise argparse.ArgumentTypeError("a move is SECONDS:rpm=N, SECONDS:tpm=N or SECONDS:foreign=SHARE")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ops.bench.quota", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, usual = parser.add_argument, Scenario()
    add("--jobs", type=int, default=usual.jobs)
    add("--rpm", type=int, default=usual.rpm, help="requests a minute; 0 is no limit")
    add("--tpm", type=int, default=0, help="tokens a minute; 0 is no limit")
    add("--slice-seconds", type=float, default=usual.slice_seconds)
    add("--latency-ms", default=usual.latency_ms)
    add("--charge-refused", action=argparse.BooleanOptionalAction, default=True)
    add("--processes", type=int, default=usual.processes)
    add("--in-flight", type=int, default=usual.in_flight, help="per process")
    add("--max-tokens", type=int, default=usual.max_tokens)
    add("--streaming", choices=("served", "refused", "ignored"), default=usual.streaming)
    add("--limit-headers", action=argparse.BooleanOptionalAction, default=True)
    add("--cold", action="store_true", help="our side alone: limits unknown, told, and told and ungated")
    add("--move", type=_read_move, action="append", default=[], metavar="SECONDS:WHAT=VALUE")
    add("--peers", action="store_true", help="every contender")
    add("--only", choices=NAMES, nargs="*")
    add("--matrix", action="store_true", help="every combination of limit, processes, charging and latency")
    add("--limit-seconds", type=float, default=300.0, help="a contender that takes longer is stopped")
    add("--curve", type=Path, help="write an SVG there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
