#!/usr/bin/env bash
# Guess: swapping the SDK's HTTP transport changes the speed, not which exception a failure raises.
# Truth: a port where nobody listens is APIConnectionError with the default transport, but with
#   DefaultAioHttpClient it is APITimeoutError, "Request timed out.", after a few milliseconds.
# Why: a grader that lengthens its timeout, or books the call as perhaps paid for, on a timeout does so
#   for a server that never got the request. The real reason is only in __cause__.
# Versions: openai 3.54.0, aiohttp 3.14.5. Source: openai/_base_client.py (any httpx2 timeout, connect
#   timeouts too, becomes APITimeoutError) and openai/_vendor/httpx_aiohttp.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  "openai[aiohttp]==3.54.0" aiohttp==3.14.5

"$work/venv/bin/python" - <<'PY'
import asyncio
import socket
import time
from importlib.metadata import version

import openai


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


with socket.create_server(("127.0.0.1", 0)) as listener:
    port = listener.getsockname()[1]


async def failure(http_client):
    client = openai.AsyncOpenAI(
        api_key="none", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0, timeout=60, http_client=http_client
    )
    started = time.monotonic()
    try:
        await client.models.list()
    except openai.APIConnectionError as error:
        return error, time.monotonic() - started
    finally:
        await client.close()


async def main():
    print(f"openai {openai.__version__}, aiohttp {version('aiohttp')}")
    plain, seconds = await failure(None)
    print(f"default transport: {type(plain).__name__} after {seconds:.3f} s ({plain.__cause__!r})")
    expect(not isinstance(plain, openai.APITimeoutError), "the default transport calls a refused port a timeout too.")
    aio, seconds = await failure(openai.DefaultAioHttpClient())
    print(f"aiohttp transport: {type(aio).__name__} after {seconds:.3f} s ({type(aio.__cause__).__name__})")
    expect(isinstance(aio, openai.APITimeoutError), "aiohttp no longer calls a refused port a timeout.")
    expect(seconds < 30, "the timeout of 60 s was waited out.")


asyncio.run(main())
PY
