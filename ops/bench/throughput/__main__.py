"""Jobs per second and CPU per job of one worker process, beside a bare gather, six peers and stock Celery.

    python -m ops.bench.throughput [--rounds 5] [--peers FOLDER] [--only NAME ...] [--plot FILE]

Two loads: a provider that takes a second with 500 calls in flight, and one that answers at once. Runs alternate, the
median counts; ratios are made within a round, so that a slow minute of the machine hits both sides.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from ops.bench.processes import standin
from ops.bench.throughput.measure import PEERS, Contender, Figures, Load, contenders, run_once, version_of
from ops.bench.throughput.memory import memory_of_the_worker
from ops.bench.throughput.plot import draw

LOADS = {
    "1 s provider, 500 in flight": ("1000", Load(jobs=5000, in_flight=500)),
    "0 ms provider": ("0", Load(jobs=3000, in_flight=100)),
}
PEERS_FOLDER = Path("/tmp")  # noqa: S108 - where the README tells to make their environments
Results = dict[str, list[Figures]]


def main() -> None:
    """Run everything, print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--peers", type=Path, default=PEERS_FOLDER, help="folder of the peers' environments (see ops/bench/README.md)"
    )
    parser.add_argument("--only", nargs="*", help="of the contenders, only these")
    parser.add_argument("--load", choices=["1s", "0ms"], nargs="*", default=["1s", "0ms"])
    parser.add_argument("--plot", type=Path, help="write an SVG there")
    options = parser.parse_args()
    found = contenders(options.peers)
    for name in sorted(PEERS.keys() - {each.name for each in found}):
        print(f"{name} is left out: there is no {options.peers / PEERS[name]} (see ops/bench/README.md)")
    chosen = [each for each in found if not options.only or each.name in options.only]
    versions = {each.name: version_of(each) for each in chosen}
    summary: dict[str, object] = {}
    drawn: dict[str, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="gradequeue-bench-") as folder:
        for (title, (latency_ms, load)), short in zip(LOADS.items(), ("1s", "0ms"), strict=True):
            if short in options.load:
                results = compare(chosen, load, latency_ms, options.rounds, Path(folder) / short)
                summary[title] = _ratios(results)
                drawn[title] = {name: _median(runs) for name, runs in results.items() if runs}
                _print_table(title, {f"{name} {versions[name]}".strip(): each for name, each in drawn[title].items()})
        if not options.only or "gradequeue" in options.only:
            summary["memory"] = memory_of_the_worker(Path(folder) / "memory")
    if options.plot:
        options.plot.write_text(draw(drawn))
    print(json.dumps(summary, indent=2))


def compare(chosen: list[Contender], load: Load, latency_ms: str, rounds: int, folder: Path) -> Results:
    """Everybody in turn, several times over. Who fails is left out from then on, with a note."""
    results: Results = {contender.name: [] for contender in chosen}
    failed: set[str] = set()
    with standin("--latency-ms", latency_ms) as provider:
        for number in range(rounds):
            for contender in chosen:
                if contender.name in failed:
                    continue
                try:
                    run_folder = folder / f"{number}-{contender.name.replace(' ', '-')}"
                    results[contender.name].append(run_once(contender, load, provider, run_folder))
                except (RuntimeError, subprocess.CalledProcessError) as error:
                    failed.add(contender.name)
                    print(f"{contender.name}: left out, {error}")
    return results


def _median(runs: list[Figures]) -> Figures:
    return Figures(
        jobs_per_second=statistics.median(run.jobs_per_second for run in runs),
        cpu_ms_per_job=statistics.median(run.cpu_ms_per_job for run in runs),
        resident_mb=statistics.median(run.resident_mb for run in runs),
    )


def _ratios(results: Results) -> dict[str, float]:
    """The project against the others, each ratio within one round, the median of them."""
    ours = results.get("gradequeue", [])
    ratios: dict[str, float] = {}
    for name in ("gather", *PEERS):
        pairs = list(zip(ours, results.get(name, []), strict=False))
        if pairs:
            speeds = [our.jobs_per_second / their.jobs_per_second for our, their in pairs]
            costs = [our.cpu_ms_per_job / their.cpu_ms_per_job for our, their in pairs]
            ratios[f"jobs_per_second_to_{name}"] = round(statistics.median(speeds), 3)
            ratios[f"cpu_per_job_to_{name}"] = round(statistics.median(costs), 3)
    return ratios


def _print_table(title: str, medians: dict[str, Figures]) -> None:
    print(f"\n{title}\n{'':<24}{'jobs/s':>10}{'CPU ms/job':>12}{'memory MB':>12}")
    for name, figures in medians.items():
        print(f"{name:<24}{figures.jobs_per_second:>10.1f}{figures.cpu_ms_per_job:>12.2f}{figures.resident_mb:>12.1f}")


if __name__ == "__main__":
    main()
