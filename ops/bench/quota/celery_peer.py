"""Celery as its documentation shows it, on threads: `autoretry_for` with backoff, or `retry(countdown=retry_after)`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import redis
from celery import Celery
from openai import OpenAI, OpenAIError, RateLimitError

from ops.bench.quota.peer_options import KEY, call_parameters, peer_options

DONE = "quota-bench-done"
MOST_RETRIES = 10
LONGEST_BACKOFF_SECONDS = 60
PATIENCE_SECONDS = 60.0
"""Without any job ending for so long, the rest counts as lost."""

app = Celery("quota-bench", broker=os.environ.get("QUOTA_BENCH_BROKER", "memory://"))
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1, task_acks_late=True)
_client: list[OpenAI] = []


def _complete(number: int, max_tokens: int) -> None:
    if not _client:
        _client.append(OpenAI(api_key=KEY, base_url=os.environ["QUOTA_BENCH_URL"], max_retries=0))
    _client[0].chat.completions.create(**call_parameters(number, max_tokens))


@app.task(  # type: ignore[untyped-decorator]  # Celery has no types
    bind=True,
    name="quota.autoretry",
    autoretry_for=(OpenAIError,),
    retry_backoff=True,
    retry_backoff_max=LONGEST_BACKOFF_SECONDS,
    retry_jitter=True,
    max_retries=MOST_RETRIES,
)
def autoretry(_self: Any, number: int, max_tokens: int) -> None:
    """Back off exponentially, as the decorator's options say."""
    _complete(number, max_tokens)


@app.task(bind=True, name="quota.countdown", max_retries=MOST_RETRIES)  # type: ignore[untyped-decorator]
def countdown(self: Any, number: int, max_tokens: int) -> None:
    """Come back when the server says."""
    try:
        _complete(number, max_tokens)
    except RateLimitError as error:
        wait = float(error.response.headers.get("retry-after", 1))
        raise self.retry(countdown=wait, exc=RuntimeError("rate limited")) from None


def main() -> None:
    """Enqueue, start workers, wait until every job has ended."""
    options = peer_options()
    environment = {**os.environ, "QUOTA_BENCH_BROKER": options.broker_url, "QUOTA_BENCH_URL": options.base_url}
    app.conf.broker_url = options.broker_url
    task = autoretry if options.name == "autoretry" else countdown
    for number in range(options.jobs):
        task.apply_async((number, options.max_tokens))
    command = [
        sys.executable, "-m", "celery", "-A", "ops.bench.quota.celery_peer:app", "worker", "--pool", "threads",
        "--concurrency", str(options.in_flight), "--without-gossip", "--without-mingle", "--loglevel", "CRITICAL",
    ]  # fmt: skip
    workers = [
        subprocess.Popen([*command, "--hostname", f"w{number}@%h"], env=environment)
        for number in range(options.processes)
    ]
    try:
        _wait(redis.Redis.from_url(options.broker_url))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _wait(client: redis.Redis) -> None:
    """Until nothing waits in the broker and nothing is unacknowledged, for two looks."""
    idle, last, since = 0, -1, time.monotonic()
    while idle < 2 and time.monotonic() - since < PATIENCE_SECONDS:  # noqa: PLR2004 - two looks
        time.sleep(1)
        left = client.llen("celery") + client.hlen("unacked")
        idle = idle + 1 if left == 0 else 0
        if left != last:
            last, since = left, time.monotonic()


if __name__ == "__main__":
    main()
