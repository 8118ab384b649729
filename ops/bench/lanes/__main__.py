"""What waiting saves: jobs with deadlines against an oracle that knows how long every lane will take.

    python -m ops.bench.lanes [--jobs 2000] [--groups 40] [--seed 1] [--spread even|log]

The real planner, loop and store run by a simulated clock against lanes that are played in this process; live calls are
played, too. Half of all batches take seven minutes, nine of ten an hour (see `workers.contract.lane_choice`). The
oracle gives each job the cheapest lane that answers it in time. Prints one JSON line per seed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from ops.bench.lanes.simulation import Simulation

GOALS = {"in_time": 0.995, "cost_ratio": 1.05, "paid_unseen": 0, "ledger_off": 0.001}


def main() -> int:
    """Exit status 1 when a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.lanes")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--groups", type=int, default=40, help="batches, each with a deadline of its own")
    parser.add_argument("--seed", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--spread", choices=["even", "log"], default="even", help="of deadlines, 10 minutes to 24 hours"
    )
    parser.add_argument("--wish", choices=["lowest", "balanced"], default="lowest")
    given = parser.parse_args()
    is_good = True
    for seed in given.seed:
        with tempfile.TemporaryDirectory() as folder:
            simulation = Simulation(
                Path(folder), jobs=given.jobs, groups=given.groups, seed=seed, spread=given.spread, wish=given.wish
            )
            found = asyncio.run(simulation.run())
        found |= {"seed": seed, "spread": given.spread, "wish": given.wish}
        print(json.dumps(found), flush=True)
        is_good &= found["in_time"] >= GOALS["in_time"] and found["cost_ratio"] <= GOALS["cost_ratio"]
        is_good &= found["paid_unseen"] <= GOALS["paid_unseen"] and found["ledger_off"] <= GOALS["ledger_off"]
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
