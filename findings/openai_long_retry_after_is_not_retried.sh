#!/usr/bin/env bash
# Guess: max_retries=5 retries a 429 five times, and a longer Retry-After means a longer wait.
# Truth: Retry-After up to 120 s is slept through (inside your call, whatever its timeout), but 121 s
#   means not one retry. Zero and a negative number pass for no header and are retried in half a
#   second. So the longest "come back later" is the one that is given up.
# Why: a daily or per-organisation limit answers with minutes, so just the long outages surface as errors
#   in the grader while short ones never do; and "0" costs refused calls that count against the quota.
# Versions: openai 3.54.0. Source: openai/_base_client.py, _should_retry and _calculate_retry_timeout;
#   MAX_RETRY_AFTER_DELAY in openai/_constants.py. x-should-retry: true does not overrule it either.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  openai==3.54.0

"$work/venv/bin/python" - <<'PY'
import http.server
import threading
import time

import openai


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


class RateLimit(http.server.BaseHTTPRequestHandler):
    calls = 0
    headers_sent = {}

    def do_POST(self):
        RateLimit.calls += 1
        body = b'{"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}'
        self.send_response(429)
        for name, value in RateLimit.headers_sent.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RateLimit)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1", max_retries=2)


def calls_made(**headers):
    RateLimit.calls, RateLimit.headers_sent = 0, {name.replace("_", "-"): value for name, value in headers.items()}
    started = time.monotonic()
    try:
        client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Grade this."}])
    except openai.RateLimitError:
        print(f"{headers or 'no header'}: {RateLimit.calls} calls in {time.monotonic() - started:.1f} s")
    return RateLimit.calls


print(f"openai {openai.__version__}, max_retries=2")
expect(calls_made() == 3, "without a header there are no longer two retries.")
expect(calls_made(retry_after="1") == 3, "a Retry-After of 1 s no longer means two retries.")
expect(calls_made(retry_after="0") == 3, "a Retry-After of 0 no longer means two retries.")
expect(calls_made(retry_after="-30") == 3, "a negative Retry-After no longer means two retries.")
expect(calls_made(retry_after="121") == 1, "a Retry-After of 121 s is retried now.")
expect(calls_made(retry_after="121", x_should_retry="true") == 1, "x-should-retry overrules the limit now.")
PY
