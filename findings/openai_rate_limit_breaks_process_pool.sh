#!/usr/bin/env bash
# Guess: a job in a process pool that meets a 429 raises RateLimitError in the parent, and the others go on.
# Truth: the SDK's status errors can be pickled but not unpickled (or copied): required keyword
#   arguments are missing. The parent fails while reading the result, takes the pool for dead and
#   kills it: every unfinished job ends as BrokenProcessPool, paid calls in flight included.
# Why: one rate limit loses a night's batch that was spread over processes, and the log blames a worker
#   that "terminated abruptly". Turn the SDK's errors into values where they are caught.
# Versions: openai 3.54.0, Python 3.11. Source: openai/_exceptions.py (APIStatusError.__init__) and
#   concurrent/futures/process.py (wait_result_broken_or_wakeup, terminate_broken).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  openai==3.54.0

"$work/venv/bin/python" - <<'PY'
import concurrent.futures
import copy
import multiprocessing
import pickle
import platform

import httpx2
import openai


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


def rate_limit():
    request = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")
    return openai.RateLimitError("slow down", response=httpx2.Response(429, request=request), body=None)


def refused(action):
    try:
        action()
    except TypeError as error:
        return str(error)
    return ""


def grade(number):
    if number == 3:
        raise rate_limit()
    return number


print(f"openai {openai.__version__}, Python {platform.python_version()}")
data = pickle.dumps(rate_limit())
for name, action in (("pickle.loads", lambda: pickle.loads(data)), ("copy.copy", lambda: copy.copy(rate_limit()))):
    print(f"{name}: {refused(action)}")
    expect(refused(action), f"{name} of a RateLimitError works now.")

endings = []
with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
    jobs = [pool.submit(grade, number) for number in range(8)]
    for job in jobs:
        error = job.exception(timeout=60)
        endings.append(type(error).__name__ if error else "graded")
print(f"eight jobs, the fourth meets a 429: {endings}")
expect("RateLimitError" not in endings, "the rate limit arrives as itself now.")
expect(endings[4:] == ["BrokenProcessPool"] * 4, "the jobs after the rate limit are no longer lost.")
PY
