#!/usr/bin/env bash
# Guess: one `client.batches.create(...)` makes one batch, or raises.
# Truth: when the answer is lost after the server did its work (connection closed, gateway 502 or 504), the SDK
#   sends the request again by itself, and the second batch is the only one the caller ever hears of. Nothing
#   in the two requests lets the server tell that they are one: no Idempotency-Key is sent, only a counter,
#   x-stainless-retry-count. The same holds for `responses.create(background=True)`.
# Why: a batch of 50,000 gradings runs, and is billed, twice; the first is found by listing alone. Hence
#   max_retries=0 for whatever makes something, and a marker in the metadata that is searched for.
# Versions: openai 3.54.0. Source: openai/_base_client.py, `_should_retry` and `_build_headers` (the header is
#   sent only where a client's `_idempotency_header` names it; AsyncOpenAI's and OpenAI's is None).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  openai==3.54.0

"$work/venv/bin/python" - <<'PY'
import http.server
import json
import threading

import openai


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


class Provider(http.server.BaseHTTPRequestHandler):
    """Does what it is asked each time, and loses its first answer."""

    made = []
    loses_by = "closing"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = len(Provider.made) + 1
        Provider.made.append({"headers": {name.lower(): value for name, value in self.headers.items()}})
        if number == 1 and Provider.loses_by == "closing":
            self.close_connection = True
            return
        status = 502 if number == 1 else 200
        body = json.dumps({"id": f"batch_{number}", "object": "batch", "status": "validating", **asked}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
print(f"openai {openai.__version__}, default settings")
for loses_by in ("closing", "a gateway's 502"):
    Provider.made, Provider.loses_by = [], loses_by
    batch = openai.OpenAI(api_key="none", base_url=url).batches.create(
        input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h", metadata={"mine": "42"}
    )
    keys = [each["headers"].get("idempotency-key") for each in Provider.made]
    print(f"answer lost by {loses_by}: {len(Provider.made)} batches made, told of {batch.id}, keys {keys}")
    expect(len(Provider.made) == 2, "the request is no longer sent twice.")
    expect(batch.id == "batch_2", "the caller hears of the first batch now.")
    expect(keys == [None, None], "an Idempotency-Key is sent now.")

Provider.made, Provider.loses_by = [], "closing"
try:
    openai.OpenAI(api_key="none", base_url=url, max_retries=0).batches.create(
        input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
    )
except openai.APIConnectionError:
    print("max_retries=0: one batch made, and an error that says so")
expect(len(Provider.made) == 1, "max_retries=0 sends more than one request.")
PY
