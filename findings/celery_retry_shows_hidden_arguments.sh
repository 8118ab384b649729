#!/usr/bin/env bash
# Guess: a task published with argsrepr="(hidden)" keeps its arguments out of events, logs and monitors.
# Truth: only for its first attempt. retry() rebuilds the message from the request without argsrepr and
#   kwargsrepr, so the second attempt's header spells the arguments out again, while headers, shadow
#   name and time limits are all carried over.
# Why: essays and names land in the log line, in every monitor and in the event stream as soon as a
#   provider answers "try later", which a test without a retry never shows. Send ids, not texts.
# Versions: celery 5.7.0, kombu 5.7.0. Source: celery/app/task.py (Context.as_execution_options) and
#   celery/app/amqp.py (as_task_v2: saferepr where no representation is given).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  celery==5.7.0 kombu==5.7.0

"$work/venv/bin/python" - <<'PY'
import logging
import time
from importlib.metadata import version

from celery import Celery, signals
from celery.contrib.testing.worker import start_worker

logging.disable(logging.CRITICAL)


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


app = Celery(broker="memory://", set_as_current=True)
published = []


@signals.before_task_publish.connect
def remember(headers=None, **_):
    published.append(dict(headers))


@app.task(bind=True, ignore_result=True)
def grade(self, essay):
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    done.append(essay)


done = []
with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
    grade.apply_async(["My essay about owls"], argsrepr="(hidden)", kwargsrepr="(hidden)", shadow="grading")
    deadline = time.monotonic() + 30
    while not done and time.monotonic() < deadline:
        time.sleep(0.05)

print(f"celery {version('celery')}, kombu {version('kombu')}")
for headers in published:
    print({name: headers[name] for name in ("retries", "argsrepr", "kwargsrepr", "shadow")})
first, second = published
expect(first["argsrepr"] == "(hidden)", "the first attempt no longer hides its arguments.")
expect("owls" in second["argsrepr"], "the retry keeps the arguments hidden now.")
expect(second["shadow"] == "grading", "the retry no longer keeps the shadow name.")
PY
