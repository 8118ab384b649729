"""Contender: this project's own worker, in production configuration. This program only fills its queue."""

from __future__ import annotations

import os

from ops.bench.throughput.work import MODEL, prompt
from producer.client import JobClient
from workers.contract.job import JobSpec


def main() -> None:
    """Commit the jobs and publish the first window."""
    client = JobClient.connect()
    jobs = int(os.environ["BENCH_JOBS"])
    specs = (JobSpec(id=str(number), prompt=prompt(number), schema="feedback", model=MODEL) for number in range(jobs))
    client.enqueue(specs, name="bench", starts_carefully=False)
    client.close()


if __name__ == "__main__":
    main()
