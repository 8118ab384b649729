#!/usr/bin/env bash
# Guess: a crontab that fires every quarter of an hour fires every quarter of an hour.
# Truth: with a time zone that ends summer time, Celery's crontab fires nothing for the whole repeated
#   hour: after 02:45 summer time the next is 03:00 winter time, 75 minutes later. It fires neither
#   twice nor once in the hour that clocks show twice.
# Why: a sweep of stuck jobs or a lease renewal on a crontab is silent for 75 minutes one night a year,
#   longer than a queue's visibility timeout of an hour. Use a plain interval (timedelta) for such work,
#   or keep beat's time zone at UTC.
# Versions: celery 5.7.0. Source: celery/schedules.py, crontab.remaining_delta (the next time is found in
#   wall-clock fields); open as issue 10107 in celery/celery, there for an hourly crontab.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  celery==5.7.0 tzdata==2026.6

"$work/venv/bin/python" - <<'PY'
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import crontab, schedule


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


def longest_gap(zone, make):
    """Asks the schedule once a simulated minute, as beat does, and returns (gap, from, to) of the longest silence."""
    app = Celery(set_as_current=False)
    app.conf.timezone = zone
    local = ZoneInfo(zone)
    now = datetime(2026, 10, 24, 22, 0, tzinfo=timezone.utc)
    plan = make(app, lambda: now.astimezone(local))
    last, fired = now.astimezone(local), [now]
    while now < datetime(2026, 10, 25, 5, 0, tzinfo=timezone.utc):
        now += timedelta(minutes=1)
        if plan.is_due(last).is_due:
            fired.append(now)
            last = now.astimezone(local)
    gap, before, after = max((b - a, a, b) for a, b in zip(fired, fired[1:]))
    return gap, f"{before.astimezone(local):%H:%M %Z}", f"{after.astimezone(local):%H:%M %Z}"


def quarter_hours(app, nowfun):
    return crontab(minute="*/15", nowfun=nowfun, app=app)


def interval(app, nowfun):
    return schedule(timedelta(minutes=15), nowfun=nowfun, app=app)


print(f"celery {version('celery')}, night of 25 October 2026")
autumn = longest_gap("Europe/Berlin", quarter_hours)
utc = longest_gap("UTC", quarter_hours)
plain = longest_gap("Europe/Berlin", interval)
print("crontab, Europe/Berlin: longest silence {}, from {} to {}".format(*autumn))
print("crontab, UTC:           longest silence {}, from {} to {}".format(*utc))
print("interval, Europe/Berlin: longest silence {}, from {} to {}".format(*plain))
expect(autumn[0] == timedelta(minutes=75), "the repeated hour is no longer skipped as a whole.")
expect(utc[0] == timedelta(minutes=15), "a crontab in UTC has a gap too.")
expect(plain[0] == timedelta(minutes=15), "a plain interval has a gap too.")
PY
